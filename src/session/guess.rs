//! What modules don't say of a model, to be tried: as a model of the catalog has it, or a guess.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::Session;
use crate::import::print;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::spec::Family;

/// What is tried: the keys that aren't said, and the name of the model of the catalog that has them so.
pub(super) type Attempt = (Map<String, Json>, Option<String>);

impl Session {
    /// What modules don't say, to be tried: as a model of the catalog has it that agrees with all that they say, whose name stands beside
    /// it; then the guesses.
    pub(super) fn attempts(&self, family: &Family, config: &print::Config) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        // Those of the same vocabulary come first.
        let mut same = 0usize;
        let own = |key: &str| family.aliased(key).map_or(key.to_owned(), |own| own.to_string());
        let said: BTreeMap<String, &Json> = config.said.iter().map(|(key, value)| (own(key), value)).collect();
        let marker = format!("\"family\": \"{}\"", family.name);
        for file in self.catalog.models() {
            if !file.text.contains(&marker) && !file.text.contains(family.prefix()) {
                continue;
            }
            let Ok(Json::Object(model)) = serde_json::from_str::<Json>(file.text) else { continue };
            let Some(Json::Object(variables)) = model.get("variables") else { continue };
            let variables: BTreeMap<String, &Json> = variables.iter().map(|(key, value)| (own(key), value)).collect();
            let is_data = |value: &Json| !value.as_str().is_some_and(|text| text.contains(['<', '{']));
            // A vocabulary may have grown.
            let both = said
                .iter()
                .filter(|(key, _)| *key != "vocab_size")
                .filter_map(|(key, value)| Some((*value, *variables.get(key)?)));
            let both = both.filter(|(_, value)| is_data(value));
            let agreed: Option<usize> = both.map(|(said, of_model)| agreed(said, of_model)).sum();
            const ENOUGH: usize = 2;
            if agreed.is_none_or(|agreed| agreed < ENOUGH) {
                continue;
            }
            let known = |key: &String| family.variables.iter().any(|variable| *variable.name.value == **key);
            let more = variables.iter().filter(|(key, value)| known(key) && is_data(value));
            let more = more.filter_map(|(key, value)| Some((key.clone(), beyond(said.get(key).copied(), value)?)));
            let mut more: Map<String, Json> = more.collect();
            // A text doesn't say that two modules share a tensor; a file that has its layers written out does.
            let tie = "tie_word_embeddings".to_owned();
            if known(&tie) && !said.contains_key(&tie) && file.text.contains("\"tied_to\"") {
                more.entry(tie).or_insert(Json::Bool(true));
            }
            let name = model.get("name").and_then(Json::as_str).unwrap_or(file.name).to_owned();
            let is_whole = said.get("vocab_size").is_none_or(|size| variables.get("vocab_size").is_none_or(|own| own == size));
            let at = if is_whole { same } else { attempts.len() };
            same += usize::from(is_whole);
            attempts.insert(at, (more, Some(name)));
        }
        attempts.extend(config.guesses.iter().map(|guess| (guess.clone(), None)));
        attempts.push((Map::new(), None));
        attempts
    }

    /// That it was found so. `unsaid`: "the text doesn't say".
    pub(super) fn guessed(unsaid: &str, family: &Family, said: &Map<String, Json>, (guess, of): &Attempt) -> Option<Diagnostic> {
        let reads = |key: &str| {
            let own = family.aliased(key).map_or(key, |own| &**own);
            family.variables.iter().any(|variable| *variable.name.value == *own)
        };
        let mut shown = Vec::new();
        for (key, value) in guess.iter().filter(|(key, _)| reads(key)) {
            let said = said.get(key).and_then(Json::as_object);
            match value {
                Json::Object(inner) => {
                    let new =
                        inner.iter().filter(|(name, value)| is_plain(value) && said.is_none_or(|said| !said.contains_key(*name)));
                    shown.extend(new.map(|(name, value)| format!("`{key}.{name}` {value}")));
                }
                value if is_plain(value) => shown.push(format!("`{key}` {value}")),
                _ => {}
            }
        }
        if shown.is_empty() {
            return None;
        }
        let shown = shown.join(", ");
        let (message, help) = match of {
            Some(name) => (format!("{unsaid} {shown}: as in `{name}`, which has its sizes"), None),
            None => {
                let help = "say it: `layerspec import` writes a model file, in which it can be changed; or `--set`";
                (format!("guessed, as {unsaid} it: {shown}"), Some(help))
            }
        };
        let diagnostic = Diagnostic::new(Code::CheckpointRemark, message);
        Some(help.into_iter().fold(diagnostic, Diagnostic::help))
    }
}

fn is_plain(value: &Json) -> bool {
    matches!(value, Json::Number(_) | Json::Bool(_) | Json::String(_))
}

/// How many values a text and a model of the catalog both have, where all of them agree. Inner configs are looked into; a vocabulary may have
/// grown there, too.
fn agreed(said: &Json, of_model: &Json) -> Option<usize> {
    let (Json::Object(said), Json::Object(of_model)) = (said, of_model) else { return (said == of_model).then_some(1) };
    let both = said.iter().filter(|(key, _)| *key != "vocab_size").filter_map(|(key, value)| Some((value, of_model.get(key)?)));
    both.map(|(said, of_model)| agreed(said, of_model)).sum()
}

/// What a model has beyond what a text says of a key. `None`: nothing.
fn beyond(said: Option<&Json>, of_model: &Json) -> Option<Json> {
    let Some(said) = said else { return Some(of_model.clone()) };
    let (Json::Object(said), Json::Object(of_model)) = (said, of_model) else { return None };
    let mut whole = of_model.clone();
    whole.extend(said.clone());
    (whole.len() > said.len()).then_some(Json::Object(whole))
}
