//! `layerspec completions` and `layerspec man`.

use super::args::{CompletionsArgs, ManArgs, command};
use super::output::{Exit, Stop, Terminal, write_to};

pub fn completions(args: &CompletionsArgs, _terminal: &Terminal) -> Result<Exit, Stop> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "layerspec", &mut text);
    write_to(args.output.output.as_deref(), |out| out.write_all(&text))?;
    Ok(Exit::Fine)
}

pub fn man(args: &ManArgs, _terminal: &Terminal) -> Result<Exit, Stop> {
    let mut program = command();
    program.build();
    let page = match &args.command {
        Some(name) => program.find_subcommand(name).cloned().unwrap_or(program),
        None => program,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    write_to(args.output.output.as_deref(), |out| out.write_all(&text))?;
    Ok(Exit::Fine)
}
