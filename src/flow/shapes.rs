//! Whether what arrives at a layer is what it takes, and which shapes go out.

use std::sync::Arc;

use super::bytes::Tally;
use super::machine::Machine;
use super::pattern::{elements, fill, fit, shown, shown_pattern, stretches};
use super::values::Value;
use crate::catalog::{Class, ClassKind, Dim, Element, ShapeDef, ValueDef};
use crate::cost::ports::{Pattern, Port, Ports};
use crate::flat::RowId;
use crate::syntax::diag::{Code, Diagnostic};

impl<T: Tally> Machine<'_, '_, T> {
    /// What an unstated model input is for a layer that takes no indices: just what it takes.
    pub(super) fn assumed(&self, ports: &Ports, mut inputs: Vec<Value>) -> Vec<Value> {
        let workload = &self.bound.workload;
        let usual = [u128::from(workload.batch_size), u128::from(workload.seq_len)];
        for (value, port) in inputs.iter_mut().zip(ports.inputs()) {
            if !value.implicit || !port.exists || is_index(&port) {
                continue;
            }
            let tokens = ports.tokens.unwrap_or(1);
            let leading = if elements(&usual) == Some(tokens) { usual.to_vec() } else { vec![tokens] };
            value.shape = Some(fill(port.pattern, &leading));
            value.element = port.element;
        }
        inputs
    }

    /// Checks what arrives and finds what goes out, once for each shape of the inputs.
    pub(super) fn shapes(&mut self, id: RowId, class: &Class, ports: &Ports, inputs: &[Value]) {
        let at = id.0 as usize;
        let Some(row) = self.flow.rows.get(at) else { return };
        if row.was_given(inputs.iter().map(|value| &value.shape)) {
            return;
        }
        let leading = self.check(id, class, ports, inputs);
        let outputs = ports.outputs().map(|port| {
            let open = port.pattern.leading.is_some();
            let leading = match (&leading, open) {
                (Ok(Some(leading)), _) => leading.as_slice(),
                // Nothing says how the tokens are arranged.
                (Ok(None), true) => return ports.tokens.map(|tokens| fill(port.pattern, &[tokens])),
                (Ok(None), false) => &[],
                (Err(()), true) => return None,
                (Err(()), false) => &[],
            };
            port.exists.then(|| fill(port.pattern, leading))
        });
        let shapes = inputs.iter().map(|value| value.shape.clone()).chain(outputs).collect();
        if let Some(row) = self.flow.rows.get_mut(at) {
            row.num_inputs = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
            row.shapes = Some(shapes);
        }
    }

    /// The leading dimensions of a value that has the right number of elements in another order: heads before positions.
    pub(super) fn regrouped(&self, ports: &Ports, port: &Port, shape: &[u128]) -> Option<Vec<u128>> {
        let tokens = ports.tokens.filter(|_| port.pattern.leading.is_some())?;
        let workload = &self.bound.workload;
        let usual = [u128::from(workload.batch_size), u128::from(workload.seq_len)];
        let same = elements(port.pattern.dims)?.checked_mul(tokens) == elements(shape);
        same.then(|| if elements(&usual) == Some(tokens) { usual.to_vec() } else { vec![tokens] })
    }

    /// The leading dimensions that the inputs share.
    pub(super) fn check(&mut self, id: RowId, class: &Class, ports: &Ports, inputs: &[Value]) -> Result<Option<Vec<u128>>, ()> {
        let Some(info) = self.flat.row(id) else { return Err(()) };
        let report = |machine: &mut Self, diagnostic: Diagnostic| {
            machine.diagnostics.push(diagnostic.note(format!("in layer `{}`", info.path)))
        };
        let required = |(port, def): (Port<'_>, &ValueDef)| port.exists && !def.optional;
        let needed = ports.inputs().zip(&class.inputs).rposition(required).map_or(0, |last| last + 1);
        // What reads nothing may still stand behind something.
        let most = class.inputs.len().max(1);
        if inputs.len() < needed || inputs.len() > most {
            let names: Vec<&str> = class.inputs.iter().map(|input| &*input.name).collect();
            let message = format!(
                "`{}` takes {} value{}{}, and is given {}",
                info.row.class_name,
                needed,
                if needed == 1 { "" } else { "s" },
                if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) },
                inputs.len()
            );
            let diagnostic = info.row.point(Diagnostic::new(Code::WrongNumberOfInputs, message), "in this layer");
            report(self, diagnostic.help(format!("say which with `inputs`, in the order {}", names.join(", "))));
            return Err(());
        }
        let mut leading: Option<Vec<u128>> = None;
        let mut broken = false;
        for (n, (port, value)) in ports.inputs().zip(inputs).enumerate() {
            let Some(def) = class.inputs.get(n) else { continue };
            if !port.exists || broken {
                continue;
            }
            if !value.exists {
                let message = format!(
                    "`{}` needs its `{}` at this workload, and what it reads there doesn't exist",
                    info.row.class_name, def.name
                );
                report(self, info.row.point(Diagnostic::new(Code::ShapeMismatch, message), "in this layer"));
                broken = true;
                continue;
            }
            let Some(shape) = &value.shape else {
                broken = true;
                continue;
            };
            let regroups = info.row.kind == Some(ClassKind::Function);
            let found = fit(port.pattern, shape, regroups).or_else(|| self.regrouped(ports, &port, shape).filter(|_| regroups));
            let problem = match (&found, &leading) {
                _ if is_index(&port) != is_index_value(value) => Some(format!(
                    "`{}` takes {} as `{}`, and is given {}",
                    info.row.class_name,
                    kind(port.element),
                    def.name,
                    kind(value.element)
                )),
                (None, _) => Some(format!(
                    "`{}` takes {}{} as `{}`, and is given {}",
                    info.row.class_name,
                    shown_pattern(port.pattern),
                    formulas(def, port.pattern),
                    def.name,
                    shown(shape)
                )),
                (Some(here), Some(first)) if port.pattern.leading.is_some() => {
                    let fits =
                        if def.broadcast { stretches(here, first) } else { here == first || elements(here) == elements(first) };
                    (!fits).then(|| {
                        format!(
                            "`{}` takes `{}` with the same leading dimensions as its first input, {}, and is given {}",
                            info.row.class_name,
                            def.name,
                            shown(first),
                            shown(shape)
                        )
                    })
                }
                (Some(here), None) if port.pattern.leading.is_some() => {
                    let tokens = elements(here);
                    (tokens != ports.tokens).then(|| {
                        format!(
                            "`{}` has {} `tokens`, and is given {}: {} of them",
                            info.row.class_name,
                            ports.tokens.unwrap_or_default(),
                            shown(shape),
                            tokens.unwrap_or_default()
                        )
                    })
                }
                _ => None,
            };
            if let Some(message) = problem {
                let mut diagnostic = info.row.point(Diagnostic::new(Code::ShapeMismatch, message), "in this layer");
                if found.is_some() && is_index(&port) == is_index_value(value) && leading.is_none() {
                    diagnostic =
                        diagnostic.help("`tokens` is the product of the leading dimensions: say how many there are here");
                }
                if let Some(from) = value.from {
                    diagnostic = diagnostic.also(from, format!("this gives {}", shown(shape)));
                }
                report(self, diagnostic);
                broken = true;
                continue;
            }
            if port.pattern.leading.is_some() && leading.is_none() {
                leading = found;
            }
        }
        if broken { Err(()) } else { Ok(leading) }
    }
}

/// `, in_features = 4000`, where a dimension has a name.
fn formulas(def: &ValueDef, pattern: Pattern<'_>) -> String {
    let ShapeDef::Dims(dims) = &def.shape else { return String::new() };
    let sizes: Vec<&Arc<str>> =
        dims.iter().filter_map(|dim| if let Dim::Size(formula) = dim { Some(&formula.text) } else { None }).collect();
    if sizes.len() != pattern.dims.len() {
        return String::new();
    }
    let named = sizes.iter().zip(pattern.dims).filter(|(text, value)| text.as_ref() != value.to_string().as_str());
    let named: Vec<String> = named.map(|(text, value)| format!("{text} = {value}")).collect();
    if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
}

fn is_index(port: &Port) -> bool {
    port.element == Element::Index
}

fn is_index_value(value: &Value) -> bool {
    value.element == Element::Index
}

fn kind(element: Element) -> &'static str {
    match element {
        Element::Index => "indices (int64)",
        Element::Bool => "a mask (bool)",
        Element::Activation | Element::Cache | Element::Float32 => "activations",
    }
}
