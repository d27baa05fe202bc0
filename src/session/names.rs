//! Which embedded model a name means, as people write names: in any case, with or without the organisation, with other separators, with words
//! behind the size that change no shape.

use crate::catalog::Catalog;
use crate::syntax::diag::{Code, Diagnostic, nearest};

/// Words behind a model's size that say how it was trained, or how it is stored.
const SAME_SHAPE: &[&str] = &["hf", "instruct", "inst", "chat", "it", "base", "pt", "sft", "dpo", "preview", "bf16", "fp16"];

/// The text of the embedded model that a name means, and the path that diagnostics call it by.
pub(super) fn embedded(name: &str, catalog: &Catalog) -> Option<(&'static str, &'static str)> {
    let called = |own: &str| own.eq_ignore_ascii_case(name);
    let exact = catalog.models().iter().find(|file| called(file.name) || own_name(file.text).is_some_and(called));
    let found = exact.or_else(|| {
        let asked = Spelling::of(name);
        let mut alike = catalog.models().iter().filter(|file| {
            let own = own_name(file.text).map(Spelling::of);
            asked.means(&Spelling::of(file.name)) || own.is_some_and(|own| asked.means(&own))
        });
        // Of several none is meant.
        alike.next().filter(|_| alike.next().is_none())
    });
    found.map(|file| (file.path, file.text))
}

/// What to say of a name that no embedded model has.
pub(super) fn unknown(name: &str, catalog: &Catalog) -> Diagnostic {
    let names = || catalog.models().iter().map(|file| file.name);
    let diagnostic = Diagnostic::new(Code::UnknownModel, format!("`{name}` is neither a file nor an embedded model"));
    if let Some(repository) = address(name) {
        let diagnostic = diagnostic
            .help("nothing is read from the network: fetch the config, and give its file")
            .help(format!("curl -L https://huggingface.co/{repository}/resolve/main/config.json -o config.json"));
        let known = embedded(&repository, catalog).and_then(|(path, _)| catalog.models().iter().find(|file| file.path == path));
        return known.map(|file| format!("`{}` is embedded", file.name)).into_iter().fold(diagnostic, Diagnostic::help);
    }
    let asked = Spelling::of(name).key;
    let alike =
        nearest(name, names()).or_else(|| names().find(|known| !asked.is_empty() && Spelling::of(known).key.starts_with(&asked)));
    let help = alike.map(|near| format!("did you mean `{near}`?"));
    let diagnostic = help.into_iter().fold(diagnostic, Diagnostic::help);
    diagnostic.help("`layerspec list models` shows the embedded ones; any other is compiled from its config.json")
}

/// `ORGANISATION/NAME` of an address on the hub, or of a repository as people name it.
pub(super) fn address(name: &str) -> Option<String> {
    let after =
        |text: &str, prefix: &str| text.get(..prefix.len())?.eq_ignore_ascii_case(prefix).then(|| text.len() - prefix.len());
    let strip = |text: &mut &str, prefixes: &[&str]| {
        let found = prefixes.iter().find_map(|prefix| after(text, prefix));
        *text = found.and_then(|rest| text.get(text.len() - rest..)).unwrap_or(text);
        found.is_some()
    };
    let mut rest = name;
    let schemed = strip(&mut rest, &["https://", "http://", "hf://"]);
    let hosted = strip(&mut rest, &["huggingface.co/", "www.huggingface.co/", "hf.co/"]);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // Without a host it is the two words alone.
    let whole = schemed || hosted || (parts.len() == 2 && !path.starts_with(['.', '/']));
    match parts.as_slice() {
        [organisation, repository, ..] if whole => Some(format!("{organisation}/{repository}")),
        _ => None,
    }
}

/// The `name` of an embedded model, without reading the rest.
fn own_name(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("\"name\": \"")?;
    rest.split_once('"').map(|(name, _)| name)
}

/// A name without what people write differently.
struct Spelling {
    /// Letters and digits alone, without the words that change no shape.
    key: String,
    /// Those of the organisation, and of its first word: repositories repeat it in the name (`meta-llama/Meta-Llama-3.1-8B`).
    organisation: [String; 2],
}

impl Spelling {
    fn of(name: &str) -> Self {
        let (organisation, name) = name.split_once('/').filter(|(_, name)| !name.contains('/')).unwrap_or(("", name));
        let words = |text: &str| -> Vec<String> {
            let parts = text.split(|c: char| !c.is_alphanumeric() && c != '.').filter(|part| !part.is_empty());
            parts.map(str::to_lowercase).collect()
        };
        let mut own = words(name);
        while own.iter().rev().skip(1).any(|word| is_size(word)) && own.last().is_some_and(|last| SAME_SHAPE.contains(&&**last)) {
            own.pop();
        }
        let key = |words: &[String]| words.concat().replace('.', "");
        let organisation = words(organisation);
        Spelling { key: key(&own), organisation: [key(&organisation), organisation.first().cloned().unwrap_or_default()] }
    }

    /// Whether this, as it is asked for, is the other, as a model is called.
    fn means(&self, other: &Spelling) -> bool {
        let rest = self.key.strip_suffix(other.key.as_str());
        let repeated = |rest: &str| self.organisation.iter().chain(&other.organisation).any(|of| rest == of);
        !other.key.is_empty() && rest.is_some_and(|rest| rest.is_empty() || repeated(rest))
    }
}

/// `7b`, `0.5b`, `270m`, `8x7b`: what a name says of a size.
fn is_size(word: &str) -> bool {
    // `llama3.1` and the like have letters before.
    let digits = word.strip_suffix(['b', 'm']);
    digits.is_some_and(|digits| {
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == 'x')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_people_write_them() {
        let catalog = Catalog::new();
        let found =
            |name: &str| embedded(name, &catalog).map(|(path, _)| path.trim_start_matches("models/").trim_end_matches(".json"));
        for name in [
            "llama-3.1-8b",
            "meta-llama/Llama-3.1-8B",
            "llama3.1-8b",
            "Llama-3.1-8B-Instruct",
            "llama3.1:8b",
            "meta-llama/Meta-Llama-3.1-8B-Instruct",
            "LLAMA 3.1 8B",
        ] {
            assert_eq!(found(name), Some("llama-3.1-8b"), "{name}");
        }
        assert_eq!(found("llama-2-7b"), Some("llama-2-7b-hf"));
        assert_eq!(found("Llama-2-7b-chat-hf"), Some("llama-2-7b-hf"));
        assert_eq!(found("google/gemma-3-270m-it"), Some("gemma-3-270m"));
        assert_eq!(found("Mixtral-8x7B-Instruct-v0.1"), None, "a version behind such a word may be another model");
        // Words that are sizes of their own, and names that are only a part of one.
        for name in ["t5", "bert", "bert-base", "llama", "7b", "qwen3", "", "-", "llama-2-7", "base"] {
            assert_eq!(found(name), None, "{name}");
        }
        for file in catalog.models() {
            assert_eq!(found(file.name), Some(file.name));
        }
    }

    #[test]
    fn an_address_is_answered() {
        let said = unknown("https://huggingface.co/meta-llama/Llama-2-7b-hf/tree/main", &Catalog::new());
        let helps = format!("{:?}", said.help);
        assert!(helps.contains("https://huggingface.co/meta-llama/Llama-2-7b-hf/resolve/main/config.json"), "{helps}");
        assert!(helps.contains("`llama-2-7b-hf` is embedded"), "{helps}");
        for name in ["HTTPS://HuggingFace.co/a/b/", "hf.co/a/b?x=1", "https://huggingface.co/a/b/blob/main/config.json", "a/b"] {
            assert_eq!(address(name).as_deref(), Some("a/b"), "{name}");
        }
        assert!(["gpt2", "./a/b", "/a/b", "a/b/c", "a"].iter().all(|name| address(name).is_none()));
    }
}
