//! `layerspec explain`.

use std::io;

use super::args::ExplainArgs;
use super::output::{Exit, Terminal, write_to};
use crate::catalog::{Catalog, Classes, dtypes};
use crate::diag::{CODES, Code, Diagnostic, nearest};
use crate::report::{explain_class, explain_code, explain_device, explain_dtype};

pub fn run(args: &ExplainArgs, terminal: &Terminal) -> io::Result<Exit> {
    let catalog = Catalog::new();
    let Some(text) = explanation(&args.what, &catalog) else {
        terminal.report_one(unknown(&args.what, &catalog), &catalog);
        return Ok(Exit::Wrong);
    };
    write_to(args.output.output.as_deref(), |out| out.write_all(text.as_bytes()))?;
    Ok(Exit::Fine)
}

/// A code, a class, a dtype, or a device, in this order: their names don't meet, which a test asserts of devices.
fn explanation(what: &str, catalog: &Catalog) -> Option<String> {
    if let Some(info) = Code::find(what) {
        return Some(explain_code(info));
    }
    if let Some(class) = Classes::new(catalog, Vec::new(), Vec::new()).find(what) {
        return Some(explain_class(&class));
    }
    let device = || catalog.device(what)?.ok().map(|device| explain_device(&device));
    dtypes::find(what).ok().map(|dtype| explain_dtype(&dtype)).or_else(device)
}

fn unknown(what: &str, catalog: &Catalog) -> Diagnostic {
    let classes = Classes::new(catalog, Vec::new(), Vec::new());
    let codes = CODES.iter().flat_map(|info| [info.id, info.name]);
    let others = codes.chain(dtypes::all().iter().map(|dtype| &*dtype.name));
    let near = classes.nearest(what).or_else(|| nearest(what, others));
    let diagnostic = Diagnostic::new(Code::UnknownSubject, format!("nothing to explain is called `{what}`"));
    let help = near.map(|near| format!("did you mean `{near}`?")).or_else(|| catalog.device_hint(what));
    help.into_iter()
        .fold(diagnostic, Diagnostic::help)
        .help("`layerspec list classes`, `layerspec list dtypes` and `layerspec list hardware` show what there is")
}
