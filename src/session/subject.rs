//! Explanations of what the catalog and the compiler have names for.

use super::{Outcome, Session};
use crate::catalog::{Catalog, Classes};
use crate::language::check::CATALOG_BLOCKS;
use crate::report::{
    explain_block, explain_class, explain_code, explain_convention, explain_device, explain_dtype, explain_family,
    explain_runtime,
};
use crate::syntax::diag::{CODES, Code, Diagnostic, Diagnostics, nearest};
use std::sync::Arc;

impl Session {
    /// What there is to say of a diagnostic's code (`E0304`), a class (`torch.nn.Linear`), a dtype (`q4_k`), a device (`h100-sxm`), a
    /// family (`llama`), a convention (`fvcore`), a runtime (`vllm`) or a block (`blocks/gqa_attention`), in this order: their names don't meet, which a test asserts.
    ///
    /// ```
    /// let text = layerspec::Session::new().explain("torch.nn.Linear").into_result()?;
    /// assert!(text.contains("2 * tokens * in_features * out_features"));
    /// # Ok::<(), layerspec::Failure>(())
    /// ```
    #[must_use]
    pub fn explain(&self, what: &str) -> Outcome<String> {
        match explanation(what, &self.catalog) {
            Some(text) => {
                let diagnostics = Diagnostics::default();
                Outcome { value: Some(text), diagnostics, source: None, catalog: self.catalog.clone() }
            }
            None => self.failed(unknown(what, &self.catalog)),
        }
    }
}

fn explanation(what: &str, catalog: &Arc<Catalog>) -> Option<String> {
    if let Some(info) = Code::find(what) {
        return Some(explain_code(info));
    }
    if let Some(Ok(class)) = catalog.whole_class(what) {
        return Some(explain_class(&class));
    }
    let device = || catalog.device(what)?.ok().map(|device| explain_device(&device));
    let family = || catalog.family(what)?.ok().map(explain_family);
    let block = || catalog.block(what.strip_prefix(CATALOG_BLOCKS)?)?.ok().map(|block| explain_block(block));
    let runtime = || {
        let name = what.strip_prefix("runtimes/").unwrap_or(what);
        catalog.runtime(name).ok().map(|(_, runtime)| explain_runtime(&runtime))
    };
    let convention = || catalog.convention(what).ok().map(|convention| explain_convention(&convention));
    catalog
        .dtype(what)
        .ok()
        .map(|dtype| explain_dtype(&dtype))
        .or_else(device)
        .or_else(family)
        .or_else(convention)
        .or_else(runtime)
        .or_else(block)
}

fn unknown(what: &str, catalog: &Arc<Catalog>) -> Diagnostic {
    let classes = Classes::new(catalog.clone(), Vec::new(), Vec::new());
    let codes = CODES.iter().flat_map(|info| [info.id, info.name]);
    let blocks: Vec<String> = catalog.block_names().map(|name| format!("{CATALOG_BLOCKS}{name}")).collect();
    let named = codes.chain(catalog.dtypes().iter().map(|dtype| &*dtype.name)).chain(catalog.family_names());
    let others = named.chain(blocks.iter().map(String::as_str));
    let near = classes.nearest(what).or_else(|| nearest(what, others));
    let diagnostic = Diagnostic::new(Code::UnknownSubject, format!("nothing to explain is called `{what}`"));
    let help = near.map(|near| format!("did you mean `{near}`?")).or_else(|| catalog.device_hint(what));
    help.into_iter()
        .fold(diagnostic, Diagnostic::help)
        .help("`layerspec list classes`, `layerspec list dtypes` and `layerspec list hardware` show what there is")
}
