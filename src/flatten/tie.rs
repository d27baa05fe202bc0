//! Finds the rows whose weights others share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::node::{Composite, FlatModel, Instances, Node, Row, RowId, Segment, TieSpec, Tied};
use crate::diag::{Code, Diagnostic, Diagnostics, nearest};

/// Resolves every `tied_to`: beside the layer, then outward, scope by scope.
pub fn resolve(model: &mut FlatModel, diagnostics: &mut Diagnostics) {
    let mut found: Vec<(RowId, Tied)> = Vec::new();
    Search { model, found: &mut found, diagnostics }.nodes(&model.body, &mut Vec::new());
    for (row, tied) in found {
        if let Some(info) = model.rows.get_mut(row.0 as usize) {
            info.row.tied.push(tied);
        }
    }
    circles(model, diagnostics);
}

/// What a path leads to.
enum Target<'m> {
    Row(RowId),
    /// One weight of a row.
    Weight(RowId, Arc<str>),
    Composite(&'m Composite<RowId>),
}

struct Search<'m, 'a> {
    model: &'m FlatModel,
    found: &'a mut Vec<(RowId, Tied)>,
    diagnostics: &'a mut Diagnostics,
}

impl<'m> Search<'m, '_> {
    fn nodes(&mut self, nodes: &'m [Node<RowId>], scopes: &mut Vec<&'m [Node<RowId>]>) {
        scopes.push(nodes);
        for node in nodes {
            self.node(node, scopes);
        }
        scopes.pop();
    }

    fn node(&mut self, node: &'m Node<RowId>, scopes: &mut Vec<&'m [Node<RowId>]>) {
        match node {
            Node::Layer(id) => {
                if let Some(tie) = self.row(**id).and_then(|row| row.tie.as_ref()) {
                    self.tie_row(**id, tie, scopes);
                }
            }
            Node::Composite(composite) => {
                if let Some(tie) = &composite.tie {
                    self.tie_composite(composite, tie, scopes);
                }
                self.nodes(&composite.body, scopes);
            }
            Node::Repeat(repeat) => {
                repeat.variants.iter().filter_map(|v| v.instance.as_deref()).for_each(|node| self.node(node, scopes));
            }
        }
    }

    fn row(&self, id: RowId) -> Option<&'m Row> {
        self.model.row(id).map(|info| &info.row)
    }

    fn find(&self, path: &str, scopes: &[&'m [Node<RowId>]]) -> Option<Target<'m>> {
        let parts: Vec<&str> = path.split('.').collect();
        scopes.iter().rev().find_map(|nodes| self.descend(nodes, &parts))
    }

    fn descend(&self, nodes: &'m [Node<RowId>], parts: &[&str]) -> Option<Target<'m>> {
        nodes.iter().find_map(|node| self.step(node, parts))
    }

    fn step(&self, node: &'m Node<RowId>, parts: &[&str]) -> Option<Target<'m>> {
        let (head, rest) = parts.split_first()?;
        match node {
            Node::Layer(id) => {
                let row = self.row(**id)?;
                let named = row.segment.as_ref().map(|segment| matches(segment, head, rest));
                let rest = match named {
                    Some(rest) => rest?,
                    // Without a name it has its composite's path, so all that follows is a weight's name.
                    None => parts,
                };
                self.weight(**id, row, rest)
            }
            Node::Composite(composite) => {
                let Some(segment) = composite.path_segment() else {
                    return self.descend(&composite.body, parts);
                };
                let rest = matches(segment, head, rest)?;
                self.inside(composite, rest)
            }
            Node::Repeat(repeat) => {
                let plain = repeat.name.as_ref().and_then(Segment::lookup_name);
                let (index, rest) = match plain {
                    Some(name) if &**name == *head => {
                        let (index, rest) = rest.split_first()?;
                        (index.parse().ok()?, rest)
                    }
                    Some(_) => return None,
                    None => (repeat.name.as_ref()?.index_in(head)?, rest),
                };
                let variant = repeat.variants.iter().find(|variant| variant.indices.contains(index))?;
                match variant.instance.as_deref()? {
                    Node::Layer(id) => self.weight(**id, self.row(**id)?, rest),
                    Node::Composite(composite) => self.inside(composite, rest),
                    Node::Repeat(_) => None,
                }
            }
        }
    }

    fn inside(&self, composite: &'m Composite<RowId>, rest: &[&str]) -> Option<Target<'m>> {
        if !rest.is_empty() {
            return self.descend(&composite.body, rest);
        }
        // A layer without a name is its composite, as far as paths go.
        match composite.body.as_slice() {
            [Node::Layer(id)] if self.row(**id)?.segment.is_none() => Some(Target::Row(**id)),
            _ => Some(Target::Composite(composite)),
        }
    }

    fn weight(&self, id: RowId, row: &'m Row, rest: &[&str]) -> Option<Target<'m>> {
        if rest.is_empty() {
            return Some(Target::Row(id));
        }
        let name = rest.join(".");
        weight_names(row).into_iter().find(|weight| **weight == *name).map(|weight| Target::Weight(id, weight))
    }

    fn tie_row(&mut self, id: RowId, tie: &'m TieSpec, scopes: &[&'m [Node<RowId>]]) {
        let own = self.row(id).map(weight_names).unwrap_or_default();
        if own.is_empty() {
            self.wrong(tie, "this layer has no weights to tie".to_owned(), "tied here");
            return;
        }
        if let Some(path) = &tie.all {
            self.tie_one(id, None, path, tie, scopes);
        }
        for (weight, path) in &tie.single {
            if own.contains(weight) {
                self.tie_one(id, Some(weight.clone()), path, tie, scopes);
            } else {
                let message = format!("the layer has no weight `{weight}` to tie");
                let diagnostic = Diagnostic::new(Code::UnknownTieTarget, message).at(tie.span, "tied here");
                let names: Vec<&str> = own.iter().map(|name| &**name).collect();
                self.diagnostics.push(diagnostic.help(format!("its weights are {}", names.join(", "))));
            }
        }
    }

    fn tie_one(&mut self, id: RowId, weight: Option<Arc<str>>, path: &str, tie: &TieSpec, scopes: &[&'m [Node<RowId>]]) {
        let (target, target_weight) = match self.find(path, scopes) {
            Some(Target::Row(target)) => (target, self.only_tensor(target)),
            Some(Target::Weight(target, name)) => (target, Some(name)),
            Some(Target::Composite(_)) => {
                let message = format!("`{path}` is a composite, which has no weights of its own under that name");
                return self.wrong(tie, message, "name a layer in it");
            }
            None => return self.unknown(path, tie),
        };
        let own = self.row(id).map(weight_names).unwrap_or_default();
        let theirs = self.row(target).map(weight_names).unwrap_or_default();
        // A whole layer is tied name by name; a single tensor, to the weight of its name.
        let (weight, target_weight) = match (weight, target_weight) {
            (Some(weight), Some(name)) => (Some(weight), Some(name)),
            (Some(weight), None) if theirs.contains(&weight) => (Some(weight.clone()), Some(weight)),
            (None, Some(name)) if own.contains(&name) => (Some(name.clone()), Some(name)),
            (None, None) if own.iter().any(|name| theirs.contains(name)) => (None, None),
            (weight, name) => {
                let (mine, other) = (weight.as_deref().unwrap_or("any"), name.as_deref().unwrap_or("its weights"));
                let message = format!("`{path}` and this layer have no weight in common ({mine} and {other})");
                return self.wrong(tie, message, "say which: \"tied_to\": { \"weights\": { \"own\": \"path.to.theirs\" } }");
            }
        };
        if target == id && target_weight == weight {
            let diagnostic = Diagnostic::new(Code::UnknownTieTarget, format!("`{path}` is this layer itself"))
                .at(tie.span, "tied to itself")
                .help("in a repeat, tie all but the first: \"tied_to\": { \"layer\": ..., \"when\": \"<layer> > 0\" }");
            self.diagnostics.push(diagnostic);
            return;
        }
        let shown = self.model.row(target).map_or("", |info| info.path.as_str());
        self.found.push((id, Tied { weight, target, target_weight, path: shown.into(), span: tie.span }));
    }

    /// The one tensor of a row that is nothing but a tensor.
    fn only_tensor(&self, id: RowId) -> Option<Arc<str>> {
        let row = self.row(id).filter(|row| row.class.is_none())?;
        weight_names(row).into_iter().next()
    }

    fn wrong(&mut self, tie: &TieSpec, message: String, label: &str) {
        self.diagnostics.push(Diagnostic::new(Code::UnknownTieTarget, message).at(tie.span, label));
    }

    fn unknown(&mut self, path: &str, tie: &TieSpec) {
        let paths = self.model.rows.iter().take(10_000).map(|info| info.path.as_str());
        let near = nearest(path, paths);
        let diagnostic = Diagnostic::new(Code::UnknownTieTarget, format!("`{path}` is no layer with weights"))
            .at(tie.span, "found neither beside this layer nor outward");
        let help = near.map(|near| format!("did you mean `{near}`?"));
        self.diagnostics.push(help.into_iter().fold(diagnostic, Diagnostic::help));
    }

    /// All layers of a composite are tied to those of another, by their paths in it.
    fn tie_composite(&mut self, composite: &'m Composite<RowId>, tie: &'m TieSpec, scopes: &[&'m [Node<RowId>]]) {
        let Some(path) = &tie.all else { return };
        let target = match self.find(path, scopes) {
            Some(Target::Composite(target)) if !std::ptr::eq(target, composite) => target,
            Some(Target::Composite(_)) => {
                let message = format!("`{path}` is this composite itself");
                self.diagnostics.push(Diagnostic::new(Code::UnknownTieTarget, message).at(tie.span, "tied to itself"));
                return;
            }
            Some(_) => {
                let message = format!("`{path}` is a basic layer, and this is a composite");
                self.diagnostics.push(Diagnostic::new(Code::UnknownTieTarget, message).at(tie.span, "tied here"));
                return;
            }
            None => return self.unknown(path, tie),
        };
        match self.pairs(composite, target) {
            Ok(pairs) => {
                for (row, target) in pairs {
                    let shown = self.model.row(target).map_or("", |info| info.path.as_str());
                    self.found
                        .push((row, Tied { weight: None, target, target_weight: None, path: shown.into(), span: tie.span }));
                }
            }
            Err(problem) => {
                let diagnostic =
                    Diagnostic::new(Code::TiedShapesDiffer, format!("`{path}` has other layers than this composite: {problem}"));
                self.diagnostics.push(diagnostic.at(tie.span, "only alike composites can be tied"));
            }
        }
    }

    /// The rows with weights of a composite, each with the row of another that has its path there.
    fn pairs(&self, own: &'m Composite<RowId>, other: &'m Composite<RowId>) -> Result<BTreeMap<RowId, RowId>, String> {
        /// More instances than any shared block has.
        const MOST: usize = 1_000_000;
        let weighted = |id: RowId| self.row(id).is_some_and(|row| !weight_names(row).is_empty());
        let instances = |composite: &'m Composite<RowId>| {
            let all = Instances::within(self.model, &composite.body).filter(move |instance| weighted(instance.row));
            all.take(MOST + 1)
        };
        let theirs: HashMap<String, RowId> = instances(other).map(|instance| (instance.path, instance.row)).collect();
        let mut pairs = BTreeMap::new();
        let mut count = 0usize;
        for instance in instances(own) {
            count += 1;
            let Some(target) = theirs.get(&instance.path) else { return Err(format!("it has no `{}`", instance.path)) };
            pairs.insert(instance.row, *target);
        }
        if count > MOST {
            return Err(format!("more than {MOST} of them"));
        }
        if count != theirs.len() {
            return Err(format!("it has {} with weights, this {count}", theirs.len()));
        }
        Ok(pairs)
    }
}

/// The rest of a path after a segment, which may itself be a path (`layers.3`).
fn matches<'p>(segment: &Segment, head: &str, rest: &'p [&'p str]) -> Option<&'p [&'p str]> {
    match segment.lookup_name() {
        Some(name) if **name == *head => Some(rest),
        _ => None,
    }
}

/// The names of the weights that a row may have.
fn weight_names(row: &Row) -> Vec<Arc<str>> {
    match (&row.weights, &row.class) {
        (Some(own), _) => own.iter().map(|weight| weight.name.clone()).collect(),
        (None, Some(class)) => class.0.weights.iter().map(|weight| weight.name.clone()).collect(),
        (None, None) => Vec::new(),
    }
}

/// Weights tied in a circle would belong to nobody.
fn circles(model: &FlatModel, diagnostics: &mut Diagnostics) {
    for (start, info) in model.rows.iter().enumerate() {
        for tied in &info.row.tied {
            let (mut at, mut steps) = (tied.target, 0);
            while at.0 as usize != start && steps <= 64 {
                let Some(next) = model.row(at).and_then(|info| info.row.tied.first()) else {
                    break;
                };
                at = next.target;
                steps += 1;
            }
            if at.0 as usize == start {
                let message = format!("`{}` and `{}` are tied to each other, so neither has the weights", info.path, tied.path);
                diagnostics.push(Diagnostic::new(Code::UnknownTieTarget, message).at(tied.span, "comes back to itself"));
                return;
            }
        }
    }
}
