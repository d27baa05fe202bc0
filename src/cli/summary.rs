//! `layerspec summary` and `layerspec compare`.

use std::path::Path;

use super::args::{CompareArgs, SummaryArgs, refused};
use super::asked::run as run_with;
use super::input::{self, Given};
use super::output::{Exit, Stop, Terminal, write_to};
use super::variant::Variant;
use crate::analysis::changes::{changes, is_output};
use crate::evaluation::Evaluation;
use crate::report::{render_changes, render_compare, render_summary};
use crate::session::Session;
use crate::syntax::diag::{Code, Diagnostic};

pub fn run(args: &SummaryArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let variant = Variant::plain(&args.model, &args.page.workload, session.catalog())?;
    let (model, exit) = evaluated(&variant, &Given::new(variant.model, &session), &session, terminal)?;
    let Some(model) = model else { return Ok(exit) };
    let page = model.summary();
    write_to(args.page.output.output.as_deref(), |out| render_summary(&page, args.page.format, terminal.width(), out))?;
    Ok(exit)
}

pub fn compare(args: &CompareArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let saved: Vec<Option<String>> = args.models.iter().map(|file| output(file)).collect();
    if let Some(at) = saved.iter().position(Option::is_some) {
        if let Ok([Some(old), Some(new)]) = <[Option<String>; 2]>::try_from(saved) {
            return compare_outputs(args, [old, new], &session, terminal);
        }
        let file = args.models.get(at).map_or("", String::as_str);
        let message = format!("`{file}` is an output of `compile`, and is compared with one other");
        let diagnostic = Diagnostic::new(Code::CannotRead, message).help("compare two outputs, or two or more models");
        return Ok(terminal.report(&session.failed::<()>(diagnostic)));
    }
    let engines_given = args.page.workload.runtime.as_deref().is_some_and(|engines| engines.contains(','));
    if let ([only], false) = (args.models.as_slice(), engines_given) {
        let why = "there is nothing to compare it with: give two models, or two engines (`--runtime eager,vllm`)";
        return Err(refused::<CompareArgs>("models", only, why).into());
    }
    let (mut models, mut labels, mut worst) = (Vec::new(), Vec::new(), Exit::Fine);
    // Of several engines each model is run by each.
    let engines: Vec<Option<&str>> = match args.page.workload.runtime.as_deref() {
        Some(engines) if engines_given => engines.split(',').map(Some).collect(),
        _ => vec![None],
    };
    for model in &args.models {
        let mut variant = Variant::read(model, &args.page.workload, session.catalog())?;
        let given = Given::new(variant.model, &session);
        for engine in &engines {
            if let Some(engine) = engine {
                variant.options.runtime = Some(engine.trim().into());
            }
            let (model, exit) = evaluated(&variant, &given, &session, terminal)?;
            worst = worst.max(exit);
            models.extend(model);
            labels.push(match (variant.label, engine) {
                (label, None) => label.map(str::to_owned),
                (label, Some(engine)) => Some(format!("{} ({})", label.unwrap_or(variant.model), engine.trim())),
            });
        }
    }
    if models.len() != args.models.len() * engines.len() {
        return Ok(if worst == Exit::Fine { Exit::Wrong } else { worst });
    }
    let mut pages: Vec<_> = models.iter().map(Evaluation::summary).collect();
    for (page, label) in pages.iter_mut().zip(labels) {
        // Variants of one model have one name.
        page.name = label.map(Into::into).or_else(|| page.name.take());
    }
    let (first, rest) = models.split_first().map_or((None, &[][..]), |(first, rest)| (Some(first), rest));
    let differences: Vec<_> = first.map(|first| rest.iter().map(|second| first.difference(second)).collect()).unwrap_or_default();
    write_to(args.page.output.output.as_deref(), |out| {
        render_compare(&pages, &differences, args.page.format, terminal.width(), out)
    })?;
    Ok(worst)
}

/// The text of a file that is an output of `compile`; `None`: it isn't.
fn output(file: &str) -> Option<String> {
    let (_, bytes) = input::file_of_folder(Path::new(file)).ok()?;
    String::from_utf8(bytes).ok().filter(|text| is_output(text))
}

/// What changed between two outputs; that something did is a failed expectation.
fn compare_outputs(args: &CompareArgs, [old, new]: [String; 2], session: &Session, terminal: &Terminal) -> Result<Exit, Stop> {
    let names = |at: usize| args.models.get(at).map_or("", String::as_str);
    match changes(&old, &new) {
        Ok(changes) => {
            let (format, width) = (args.page.format, terminal.width());
            write_to(args.page.output.output.as_deref(), |out| {
                render_changes([names(0), names(1)], &changes, format, width, out)
            })?;
            Ok(if changes.is_empty() { Exit::Fine } else { Exit::Unexpected })
        }
        Err((which, why)) => {
            let file = if which == "old" { names(0) } else { names(1) };
            let diagnostic = Diagnostic::new(Code::CannotRead, format!("cannot compare with `{file}`: {why}"));
            Ok(terminal.report(&session.failed::<()>(diagnostic)))
        }
    }
}

/// A model at the workload, what is wrong with it reported.
fn evaluated(
    variant: &Variant<'_>,
    given: &Given<'_>,
    session: &Session,
    terminal: &Terminal,
) -> Result<(Option<Evaluation>, Exit), Stop> {
    let loaded = given.read(&variant.settings);
    let model = loaded.value.clone();
    let (workload, execution) = run_with(variant.workload.clone(), &variant.options, session, terminal)?;
    let outcome = loaded.and_then(|model| model.lowered(&execution)).and_then(|lowered| lowered.at(&workload));
    let exit = terminal.report(&outcome);
    if let (Some(model), Some(_)) = (&model, &outcome.value) {
        terminal.unused(model);
    }
    Ok((outcome.value, exit))
}
