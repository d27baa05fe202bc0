//! Instances of a repeat that differ from one that was made in their layers' arguments alone (docs/decisions/0026).
//!
//! A form and the names of another instance come in, that instance goes out. That all else is the same was seen by what the form has read: names,
//! places, wiring and ties aren't found anew.

use super::flattener::{Flattener, ValueScope};
use super::node::{Node, Row};
use crate::language::check::Used;
use crate::language::scope::Scope;
use crate::syntax::spec::{self, Layer};

impl<'m> Flattener<'m, '_> {
    /// An instance that has the layers of a form, with arguments of their own. `None`: one of them has no value.
    pub(super) fn resized(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>, form: usize) -> Option<Node<Box<Row>>> {
        let mut node = self.wiring.form(form)?.clone();
        self.resize(layer, scope, &mut node)?;
        Some(node)
    }

    fn resize(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>, node: &mut Node<Box<Row>>) -> Option<()> {
        let segment = match node {
            Node::Layer(row) => &row.segment,
            Node::Composite(composite) => &composite.segment,
            Node::Repeat(_) => return None,
        };
        // What is wrong with an argument is said of the layer at its path.
        let shown = segment.clone().filter(|_| !layer.inline).map(|segment| (segment, self.counts.len()));
        let depth = self.trail.len();
        self.trail.extend(shown);
        let done = match node {
            Node::Layer(row) => self.resize_row(layer, scope, row),
            Node::Composite(composite) => self.resize_body(layer, scope, &mut composite.body),
            Node::Repeat(_) => None,
        };
        self.trail.truncate(depth);
        done
    }

    fn resize_row(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>, row: &mut Row) -> Option<()> {
        let class = &row.class.as_ref()?.0;
        self.values.traces.arguments(true);
        let made = self.arguments(layer, class, scope);
        self.values.traces.arguments(false);
        let (arguments, overrides) = made?;
        row.arguments = arguments.into();
        if row.overrides != overrides {
            row.common_mut().overrides = overrides;
        }
        Some(())
    }

    fn resize_body(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>, body: &mut [Node<Box<Row>>]) -> Option<()> {
        // The tensors that a composite owns stand first, and have no class.
        let is_own = |node: &Node<Box<Row>>| if let Node::Layer(row) = node { row.class.is_none() } else { false };
        let own = body.iter().take_while(|node| is_own(node)).count();
        let body = body.get_mut(own..)?;
        match &layer.body {
            spec::Body::Basic => None,
            spec::Body::Composite(layers) => self.resize_layers(layers, scope, body),
            spec::Body::Use(field) => {
                let used = match self.used(field, scope)? {
                    Used::Local(block) => (block, true),
                    Used::Catalog(block) => (block, false),
                    Used::Family(_) => return None,
                };
                self.within_block(used, field.span, scope, |flattener, inner| {
                    flattener.resize_layers(&used.0.layers, inner, body)
                })
            }
        }
    }

    /// Those of some layers that exist, in the order in which they are written.
    fn resize_layers(&mut self, layers: &'m [Layer], scope: &ValueScope<'m, '_>, nodes: &mut [Node<Box<Row>>]) -> Option<()> {
        let mut nodes = nodes.iter_mut();
        for layer in layers {
            let inner = Scope::of_variables(scope, &layer.variables);
            if !self.visit(layer) {
                return None;
            }
            if self.exists(layer, &inner)? {
                self.resize(layer, &inner, nodes.next()?)?;
            }
        }
        nodes.next().is_none().then_some(())
    }
}
