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
            let both: Vec<(&Json, &Json)> = both.collect();
            const ENOUGH: usize = 2;
            if both.len() < ENOUGH || both.iter().any(|(a, b)| a != b) {
                continue;
            }
            let known = |key: &String| family.variables.iter().any(|variable| *variable.name.value == **key);
            let more = variables.iter().filter(|(key, value)| !said.contains_key(*key) && known(key) && is_data(value));
            let mut more: Map<String, Json> = more.map(|(key, value)| (key.clone(), (*value).clone())).collect();
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
    pub(super) fn guessed(unsaid: &str, family: &Family, (guess, of): &Attempt) -> Option<Diagnostic> {
        let reads = |key: &str| {
            let own = family.aliased(key).map_or(key, |own| &**own);
            family.variables.iter().any(|variable| *variable.name.value == *own)
        };
        let plain = |value: &Json| matches!(value, Json::Number(_) | Json::Bool(_) | Json::String(_));
        let shown: Vec<String> = guess
            .iter()
            .filter(|(key, value)| plain(value) && reads(key))
            .map(|(key, value)| format!("`{key}` {value}"))
            .collect();
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
