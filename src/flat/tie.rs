//! Finds the rows whose weights others share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::flattener::Dropped;
use super::instances::Instances;
use super::model::FlatModel;
use super::node::{Composite, Node, Row, RowId, TieSpec, Tied};
use super::paths::{Asker, Found, Levels, Paths};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::source::Span;

/// Resolves every `tied_to`: beside the layer, then outward, scope by scope.
pub fn resolve(model: &mut FlatModel, dropped: &Dropped, diagnostics: &mut Diagnostics) {
    let mut found: Vec<(RowId, Tied)> = Vec::new();
    Search { model, dropped, paths: Paths::new(model), found: &mut found, diagnostics }.nodes(&model.body, &mut Vec::new());
    for (row, tied) in found {
        if let Some(info) = model.rows.get_mut(row.0 as usize) {
            info.row.tied = info.row.tied.iter().cloned().chain([tied]).collect();
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
    dropped: &'a Dropped,
    paths: Paths<'m>,
    found: &'a mut Vec<(RowId, Tied)>,
    diagnostics: &'a mut Diagnostics,
}

/// What may be tied to stands at a path's end: a layer, a weight of one, a composite.
struct Targets<'m> {
    model: &'m FlatModel,
}

impl<'m, 'p> Asker<'m, 'p> for Targets<'m> {
    type Answer = Target<'m>;

    fn found(&mut self, found: Found<'m, 'p>, _: &mut Levels<'m>) -> Option<Target<'m>> {
        match found {
            Found::Layer(id, "") => Some(Target::Row(id)),
            Found::Layer(id, rest) => {
                let row = &self.model.row(id)?.row;
                weight_names(row).into_iter().find(|weight| **weight == *rest).map(|weight| Target::Weight(id, weight))
            }
            // A layer without a name is its composite, as far as paths go.
            Found::Composite(composite) => match composite.body.as_slice() {
                [Node::Layer(id)] if self.model.row(*id)?.row.segment.is_none() => Some(Target::Row(*id)),
                _ => Some(Target::Composite(composite)),
            },
            Found::Instances(_) => None,
        }
    }
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
                let Some(row) = self.row(*id) else { return };
                if let Some(tie) = row.tie.as_deref() {
                    let said = self.diagnostics.count();
                    self.tie_row(*id, tie, scopes);
                    row.used.into_iter().for_each(|used| self.diagnostics.used_at(said, used));
                }
            }
            Node::Composite(composite) => {
                if let Some(tie) = &composite.tie {
                    self.tie_composite(composite, tie, scopes);
                }
                self.nodes(&composite.body, scopes);
            }
            Node::Repeat(repeat) => {
                repeat.instances().for_each(|node| self.node(node, scopes));
            }
        }
    }

    fn row(&self, id: RowId) -> Option<&'m Row> {
        self.model.row(id).map(|info| &info.row)
    }

    fn find(&self, path: &str, scopes: &[&'m [Node<RowId>]]) -> Option<Target<'m>> {
        let mut targets = Targets { model: self.model };
        scopes.iter().rev().find_map(|nodes| self.paths.walk(nodes, path, &mut Vec::new(), &mut targets))
    }

    fn tie_row(&mut self, id: RowId, tie: &'m TieSpec, scopes: &[&'m [Node<RowId>]]) {
        let own = self.row(id).map(weight_names).unwrap_or_default();
        if let Some(path) = &tie.all {
            self.tie_one(id, &own, None, path, tie.span, scopes);
        }
        for single in &tie.single {
            if own.contains(&single.weight) {
                self.tie_one(id, &own, Some(single.weight.clone()), &single.path, single.span, scopes);
            } else {
                let message = format!("this layer has no weight `{}` to tie", single.weight);
                self.refuse(message, single.weight_span, "not a weight of this layer", Some((&single.weight, &own)));
            }
        }
    }

    /// The one tensor of a row that is nothing but a tensor.
    fn only_tensor(&self, id: RowId) -> Option<Arc<str>> {
        let row = self.row(id).filter(|row| row.class.is_none())?;
        weight_names(row).into_iter().next()
    }

    /// An error, with the weights that there are.
    fn refuse(&mut self, message: String, span: Span, label: &str, wanted: Option<(&str, &[Arc<str>])>) {
        let mut diagnostic = Diagnostic::new(Code::UnknownTieTarget, message).at(span, label);
        if let Some((name, weights)) = wanted {
            let names = || weights.iter().map(|name| &**name);
            diagnostic = match (nearest(name, names()), weights) {
                (Some(near), _) => diagnostic.help(format!("did you mean `{near}`?")),
                (None, []) => diagnostic.help("it has no weights"),
                (None, _) => diagnostic.help(format!("its weights are {}", names().collect::<Vec<_>>().join(", "))),
            };
        }
        self.diagnostics.push(diagnostic);
    }

    fn tie_one(
        &mut self,
        id: RowId,
        own: &[Arc<str>],
        weight: Option<Arc<str>>,
        path: &str,
        span: Span,
        scopes: &[&'m [Node<RowId>]],
    ) {
        let (target, target_weight) = match self.find(path, scopes) {
            Some(Target::Row(target)) => (target, self.only_tensor(target).or_else(|| weight.clone())),
            Some(Target::Weight(target, name)) => (target, Some(name)),
            Some(Target::Composite(_)) => {
                let message = format!("`{path}` is a composite, which has no weights of its own under that name");
                return self.refuse(message, span, "name a layer in it", None);
            }
            None => return self.unknown(path, span, scopes),
        };
        if target == id && target_weight == weight {
            let diagnostic = Diagnostic::new(Code::UnknownTieTarget, format!("`{path}` is this layer itself"))
                .at(span, "tied to itself")
                .help("in a repeat, tie all but the first: \"tied_to\": { \"layer\": ..., \"when\": \"<layer> > 0\" }");
            self.diagnostics.push(diagnostic);
            return;
        }
        let theirs = self.row(target).map(weight_names).unwrap_or_default();
        let weight = weight.or_else(|| target_weight.clone());
        match (&weight, &target_weight) {
            (Some(weight), _) if !own.contains(weight) => {
                let message = format!("`{path}` is a weight, and this layer has none of that name");
                return self.refuse(message, span, "tied here", Some((weight, own)));
            }
            (_, Some(wanted)) if !theirs.contains(wanted) => {
                let message = format!("`{path}` has no weight `{wanted}`");
                return self.refuse(message, span, "tied here", Some((wanted, &theirs)));
            }
            (None, _) if own.is_empty() => {
                return self.refuse("this layer has no weights to tie".to_owned(), span, "tied here", None);
            }
            (None, _) if theirs.is_empty() => {
                return self.refuse(format!("`{path}` has no weights"), span, "tied here", None);
            }
            (None, _) if !own.iter().any(|name| theirs.contains(name)) => {
                let message = format!("`{path}` has no weight that this layer has too");
                return self.refuse(message, span, "tied here", Some(("", &theirs)));
            }
            _ => {}
        }
        let shown = self.model.row(target).map_or("", |info| &*info.path);
        self.found.push((id, Tied { weight, target, target_weight, path: shown.into(), span }));
    }

    fn unknown(&mut self, path: &str, span: Span, scopes: &[&'m [Node<RowId>]]) {
        if self.dropped.may_be(path) {
            return;
        }
        if let Some((layer, weight)) = path.rsplit_once('.')
            && let Some(Target::Row(row)) = self.find(layer, scopes)
        {
            let names = self.row(row).map(weight_names).unwrap_or_default();
            return self.refuse(format!("`{layer}` has no weight `{weight}`"), span, "tied here", Some((weight, &names)));
        }
        let paths = self.model.rows.iter().take(10_000).map(|info| &*info.path);
        let near = if self.diagnostics.crowded() { None } else { nearest(path, paths) };
        let diagnostic = Diagnostic::new(Code::UnknownTieTarget, format!("`{path}` is no layer with weights"))
            .at(span, "found neither beside this layer nor outward");
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
            None => return self.unknown(path, tie.span, scopes),
        };
        match self.pairs(composite, target) {
            Ok(pairs) => {
                for (row, target) in pairs {
                    let shown = self.model.row(target).map_or("", |info| &*info.path);
                    let tied = Tied { weight: None, target, target_weight: None, path: shown.into(), span: tie.span };
                    self.found.push((row, tied));
                }
            }
            Err(problem) => {
                let message = format!("`{path}` has other layers than this composite: {problem}");
                let diagnostic = Diagnostic::new(Code::TiedShapesDiffer, message);
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
            let Some(target) = theirs.get(&instance.path) else {
                return Err(format!("it has no `{}`", instance.path));
            };
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

/// The names of the weights that a row may have.
fn weight_names(row: &Row) -> Vec<Arc<str>> {
    match (&row.weights, &row.class) {
        (Some(own), _) => own.iter().map(|weight| weight.name.clone()).collect(),
        (None, Some(class)) => class.0.weights.iter().map(|weight| weight.name.clone()).collect(),
        (None, None) => Vec::new(),
    }
}

/// A weight of a row.
type Weight = (RowId, Arc<str>);

/// Weights tied in a circle would belong to nobody.
fn circles(model: &FlatModel, diagnostics: &mut Diagnostics) {
    let mut next: HashMap<Weight, (Weight, Span)> = HashMap::new();
    let mut order: Vec<Weight> = Vec::new();
    for (at, info) in model.rows.iter().enumerate() {
        let row = RowId(u32::try_from(at).unwrap_or(u32::MAX));
        for tied in &info.row.tied {
            let theirs = model.row(tied.target).map(|info| weight_names(&info.row)).unwrap_or_default();
            let own = tied.weight.clone().map_or_else(|| weight_names(&info.row), |name| vec![name]);
            for name in own {
                let wanted = tied.target_weight.clone().unwrap_or_else(|| name.clone());
                if theirs.contains(&wanted) {
                    next.entry((row, name.clone())).or_insert(((tied.target, wanted), tied.span));
                    order.push((row, name));
                }
            }
        }
    }
    let mut done: HashSet<&Weight> = HashSet::new();
    for start in &order {
        let (mut at, mut way, mut on_the_way) = (start, Vec::new(), HashSet::new());
        while let Some((target, span)) = next.get(at) {
            if !on_the_way.insert(at) {
                let circle: Vec<&(&Weight, Span)> = way.iter().skip_while(|(weight, _)| *weight != at).collect();
                diagnostics.push(circle_of(model, &circle));
                break;
            }
            if done.contains(at) {
                break;
            }
            way.push((at, *span));
            at = target;
        }
        done.extend(way.into_iter().map(|(weight, _)| weight));
    }
}

fn circle_of(model: &FlatModel, circle: &[&(&Weight, Span)]) -> Diagnostic {
    const SHOWN: usize = 6;
    let path = |weight: &Weight| model.row(weight.0).map_or("", |info| &*info.path);
    let mut steps: Vec<String> = circle.iter().take(SHOWN).map(|(weight, _)| format!("{}.{}", path(weight), weight.1)).collect();
    if circle.len() > SHOWN {
        steps.push("...".to_owned());
    }
    steps.extend(steps.first().cloned());
    let message = format!("weights are tied in a circle, so no layer has them: {}", steps.join(" -> "));
    let diagnostic = Diagnostic::new(Code::UnknownTieTarget, message);
    match circle {
        [(_, span), ..] => diagnostic.at(*span, "comes back to itself"),
        [] => diagnostic,
    }
}
