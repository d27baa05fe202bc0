//! What isn't known of a model is left out, where that is asked for: layers of classes that nobody defines, or that lack a parameter.
//!
//! A layer that is left out gives what it was given, as an absent one does; the model says what it lacks.

use std::collections::HashMap;
use std::sync::Arc;

use super::check::check;
use crate::catalog::Catalog;
use crate::syntax::diag::{Code, Diagnostics};
use crate::syntax::expr::Value;
use crate::syntax::source::Span;
use crate::syntax::spec::{Body, Layer, Model};

/// Leaves out the layers of which something isn't known, and says so in the model.
pub fn leave_out(model: &mut Model, catalog: &Arc<Catalog>, settings: &[(Arc<str>, Value)]) {
    let mut said = Diagnostics::default();
    check(model.clone(), catalog, settings.to_vec(), &mut said);
    let unknown = said.iter().filter(|diagnostic| matches!(diagnostic.code, Code::UnknownClass | Code::MissingParameter));
    let unknown: HashMap<Span, &str> =
        unknown.filter_map(|diagnostic| Some((diagnostic.primary.as_ref()?.span, &*diagnostic.message))).collect();
    if unknown.is_empty() {
        return;
    }
    let mut left = Vec::new();
    without(&mut model.layers, &unknown, &mut left);
    for block in &mut model.blocks {
        without(&mut block.layers, &unknown, &mut left);
    }
    model.partial.extend(left);
}

fn without(layers: &mut [Layer], unknown: &HashMap<Span, &str>, left: &mut Vec<Arc<str>>) {
    for layer in layers {
        if let Body::Composite(inner) = &mut layer.body {
            without(inner, unknown, left);
            continue;
        }
        let Some((class, why)) = layer.class.as_ref().and_then(|class| Some((class.text.clone(), unknown.get(&class.span)?)))
        else {
            continue;
        };
        let name = layer.name.as_ref().map_or("a layer", |name| &*name.text);
        left.push(format!("`{name}`, a `{class}` ({why})").into());
        layer.body = Body::Composite(Vec::new());
        layer.parameters.clear();
        layer.weights = None;
        layer.tied_to = None;
    }
}
