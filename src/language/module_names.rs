//! Modules as a checkpoint's config names them: by name, by a pattern, by a regular expression, each with what it says of them.

use std::collections::HashMap;
use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};

use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::glob;
use crate::syntax::source::Span;

/// Modules by name, each name with the group that it says, or `None`: left as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    /// Names without a pattern, and with which of `said` they stand.
    exact: HashMap<String, usize>,
    patterns: Vec<(Pattern, usize)>,
    said: Vec<Option<u16>>,
}

impl Named {
    /// Adds a name; of a name that is there twice the first counts. `None`: it can't be read.
    pub(super) fn add(&mut self, pattern: Pattern, group: Option<u16>) {
        let at = self.said.len();
        self.said.push(group);
        match pattern {
            Pattern::Text(text) => {
                self.exact.entry(text).or_insert(at);
            }
            pattern => self.patterns.push((pattern, at)),
        }
    }

    /// What it takes to look at a module: the patterns that are tried, each for 4, a regular expression for 20.
    pub(super) fn effort(&self) -> u64 {
        let of = |pattern: &Pattern| if matches!(pattern, Pattern::Regex(_)) { 20 } else { 4 };
        self.patterns.iter().map(|(pattern, _)| of(pattern)).sum()
    }

    /// What the first name says that means a module.
    pub(super) fn first(&self, path: &str, plain: &str) -> Option<Option<u16>> {
        let mut first = self.patterns.iter().find(|(pattern, _)| pattern.means(path, plain)).map(|(_, at)| *at);
        if !self.exact.is_empty() {
            // A name means what is inside such a module, too, and what ends so: as transformers' should_convert_module has it,
            // `fc1` means `layers.3.fc1`.
            let begins = plain.match_indices('.').map(|(at, _)| plain.get(..at)).chain([Some(plain)]);
            let ends = plain.char_indices().map(|(at, _)| plain.get(at..));
            for at in begins.chain(ends).flatten().filter_map(|name| self.exact.get(name)) {
                first = Some(first.map_or(*at, |first| first.min(*at)));
            }
        }
        first.and_then(|at| self.said.get(at).copied())
    }
}

/// The most bytes of memory of a regular expression.
const MOST_OF_A_REGEX: usize = 1 << 15;

/// The most regular expressions of a config.
pub(super) const MOST_REGEXES: usize = 2000;

/// A module's name in a config: its beginning or end, with `*` for anything, or a regular expression (`re:`).
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Text(String),
    /// As it is written, and of what is inside such a module.
    Glob([String; 2]),
    Regex(Regex),
}

impl Pattern {
    /// Those that can't be read are said.
    pub(super) fn new(
        text: &str,
        is_regular: bool,
        containers: &[Arc<str>],
        place: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        if let Some(regex) = text.strip_prefix("re:").or(is_regular.then_some(text)) {
            return match RegexBuilder::new(&format!("^(?:{regex})")).size_limit(MOST_OF_A_REGEX).build() {
                Ok(regex) => Some(Pattern::Regex(regex)),
                Err(_) => {
                    let message = format!("`{regex}` is no regular expression that is understood here");
                    let diagnostic =
                        Diagnostic::new(Code::UnreadQuantization, message).at(place, "taken as if it meant no layer").note(
                            "looking ahead and behind (`(?!`, `(?<=`) is not understood, nor is one that would take much memory",
                        );
                    diagnostics.push(diagnostic);
                    None
                }
            };
        }
        let plain = without(containers, text.strip_suffix(".weight").unwrap_or(text));
        let inside = format!("{plain}.*");
        Some(if plain.contains('*') { Pattern::Glob([plain, inside]) } else { Pattern::Text(plain) })
    }

    fn means(&self, path: &str, plain: &str) -> bool {
        match self {
            // Those are looked up.
            Pattern::Text(text) => text == plain,
            Pattern::Glob(globs) => globs.iter().any(|glob| glob::matches(glob, plain)),
            Pattern::Regex(regex) => regex.is_match(path),
        }
    }
}

/// A path without the names of these modules.
pub(super) fn without(containers: &[Arc<str>], path: &str) -> String {
    let says = |part: &&str| !containers.iter().any(|container| **container == **part);
    path.split('.').filter(says).collect::<Vec<_>>().join(".")
}
