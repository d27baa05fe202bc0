//! Reads worked examples. What they are examples of is not checked here: tests do that.

use super::reader::{Reader, plain_value};
use crate::catalog::class::definition::Example;
use crate::catalog::class::keys::EXAMPLE_KEYS;
use crate::syntax::expr::Value;
use crate::syntax::json::{Json, Node};
use crate::syntax::spec::fields;

impl Reader<'_> {
    pub(super) fn examples(&mut self, node: Option<&Node>) -> Vec<Example> {
        match node.map(|n| (&n.json, n)) {
            Some((Json::List(items), _)) => items.iter().filter_map(|item| self.example(item)).collect(),
            Some((_, node)) => {
                self.wrong(node, "a list");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn plain(&mut self, node: &Node) -> Option<Value> {
        let value = plain_value(node);
        if value.is_none() {
            self.wrong(node, "a number of at most 128 bits");
        }
        value
    }

    fn example(&mut self, node: &Node) -> Option<Example> {
        let f = fields(node, "an example", EXAMPLE_KEYS, &[], self.diagnostics)?;
        let values = |r: &mut Self, node| r.members(node, |r, m| Some((m.key.clone(), r.plain(&m.value)?)));
        let expect = self.members(f.get("expect"), |r, m| {
            let count = plain_value(&m.value).and_then(|v| v.as_number()).and_then(|n| n.to_count());
            if count.is_none() {
                r.wrong(&m.value, "a non-negative integer");
            }
            Some((m.key.clone(), count?))
        });
        Some(Example {
            doc: f.get("doc").and_then(|n| self.text(n)).unwrap_or_default(),
            parameters: values(self, f.get("parameters")),
            workload: values(self, f.get("workload")),
            expect,
            source: f.get("source").and_then(|n| self.text(n)).unwrap_or_default(),
        })
    }
}
