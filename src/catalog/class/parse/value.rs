//! Reads weights and values: shapes, element types, and what the backward pass keeps.

use std::sync::Arc;

use super::reader::{Reader, plain_value};
use super::tokens::{LEADING, leading};
use crate::catalog::class::keys::{CLASS_WEIGHT_KEYS, VALUE_KEYS};
use crate::catalog::class::value::{Dim, Element, ElementDef, Gradient, SaveDef, ShapeDef, ValueDef, WeightDef};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::spec::{KEPT_DTYPE, fields};

impl Reader<'_> {
    fn shape(&mut self, node: &Node) -> Option<ShapeDef> {
        let Json::List(items) = &node.json else {
            return self.formula(node, None).map(ShapeDef::List);
        };
        let mut dims = Vec::with_capacity(items.len());
        for item in items {
            match &item.json {
                Json::Text(text) if &*text.value == LEADING => dims.push(Dim::Leading),
                _ => dims.push(Dim::Size(self.formula(item, None)?)),
            }
        }
        Some(ShapeDef::Dims(dims))
    }

    pub(super) fn weight(&mut self, member: &Member) -> Option<WeightDef> {
        let name = member.key.clone();
        if !matches!(member.value.json, Json::Object(_)) {
            return Some(WeightDef { name, shape: self.weight_shape(&member.value)?, when: None, float32: false, trained: None });
        }
        let f = fields(&member.value, "a weight", CLASS_WEIGHT_KEYS, &[], self.diagnostics)?;
        let dtype = f.get("dtype").and_then(|n| Some((n, self.text(n)?)));
        if let Some((node, dtype)) = dtype.as_ref().filter(|(_, dtype)| **dtype != *KEPT_DTYPE) {
            self.invalid(node.span, format!("a weight's dtype can't be `{dtype}`"), format!("only `{KEPT_DTYPE}`"));
        }
        Some(WeightDef {
            name,
            shape: self.weight_shape(f.get("shape")?)?,
            when: f.get("when").and_then(|n| self.condition(n)),
            float32: dtype.is_some(),
            trained: f.get("trained").and_then(|n| self.condition(n)),
        })
    }

    /// What a layer owns doesn't depend on what it is given.
    fn weight_shape(&mut self, node: &Node) -> Option<ShapeDef> {
        match leading(node) {
            Some(place) => {
                self.invalid(place, "a weight has no leading dimensions", "of inputs and outputs alone");
                None
            }
            None => self.shape(node),
        }
    }

    pub(super) fn value(&mut self, name: Arc<str>, node: &Node) -> Option<ValueDef> {
        if !matches!(node.json, Json::Object(_)) {
            return Some(ValueDef {
                name,
                shape: self.shape(node)?,
                element: ElementDef::Fixed(Element::Activation),
                view: None,
                when: None,
                broadcast: false,
                optional: false,
                persistent: None,
                hold: 0,
                gradient: Gradient::Own,
            });
        }
        let f = fields(node, "a value", VALUE_KEYS, &[], self.diagnostics)?;
        let Some(shape) = f.get("shape") else {
            self.invalid(node.span.part(0..1), format!("`{name}` has no `shape`"), "a value needs one");
            return None;
        };
        let element = match f.get("dtype") {
            None => ElementDef::Fixed(Element::Activation),
            Some(node) => self.element(node)?,
        };
        Some(ValueDef {
            name,
            shape: self.shape(shape)?,
            element,
            view: f.get("view").and_then(|n| self.condition(n)),
            when: f.get("when").and_then(|n| self.condition(n)),
            broadcast: f.get("broadcast").and_then(|n| self.flag(n)).unwrap_or(false),
            optional: f.get("optional").and_then(|n| self.flag(n)).unwrap_or(false),
            persistent: f.get("persistent").and_then(|n| self.condition(n)),
            hold: f.get("hold").and_then(|n| self.hold(n)).unwrap_or(0),
            gradient: f.get("gradient").and_then(|n| self.gradient(n)).unwrap_or_default(),
        })
    }

    fn gradient(&mut self, node: &Node) -> Option<Gradient> {
        let word = self.text(node)?;
        let gradient = Gradient::from_word(&word);
        if gradient.is_none() {
            self.invalid(node.span, format!("`{word}` is no way to get a gradient"), "own, output or none");
        }
        gradient
    }

    fn hold(&mut self, node: &Node) -> Option<u16> {
        let count = plain_value(node).and_then(|v| v.as_number()).and_then(|n| n.to_count());
        let hold = count.and_then(|n| u16::try_from(n).ok());
        if hold.is_none() {
            self.wrong(node, "how many enclosing composites hold it, an integer");
        }
        hold
    }

    fn element(&mut self, node: &Node) -> Option<ElementDef> {
        let word = self.text(node)?;
        if let Some(element) = Element::from_word(&word) {
            return Some(ElementDef::Fixed(element));
        }
        if word.contains('(') {
            return self.formula(node, None).map(ElementDef::Formula);
        }
        self.invalid(node.span, format!("`{word}` is no dtype of a value"), "activation, cache, index, float32 or bool");
        None
    }

    pub(super) fn saves(&mut self, node: &Node) -> Vec<SaveDef> {
        match &node.json {
            Json::List(items) => items.iter().filter_map(|item| self.save(item)).collect(),
            _ => {
                self.wrong(node, "a list of names and tensors");
                Vec::new()
            }
        }
    }

    fn save(&mut self, node: &Node) -> Option<SaveDef> {
        if let Json::Text(text) = &node.json {
            return Some(SaveDef::Value { name: text.value.clone(), when: None, early: false });
        }
        let f = fields(node, "what is saved", VALUE_KEYS, &[], self.diagnostics)?;
        if let Some(value) = f.get("value") {
            let early = f.get("early").and_then(|n| self.flag(n)).unwrap_or(false);
            return Some(SaveDef::Value { name: self.text(value)?, when: f.get("when").and_then(|n| self.condition(n)), early });
        }
        let name = f.get("name").and_then(|n| self.text(n)).unwrap_or_else(|| "tensor".into());
        self.value(name, node).map(Box::new).map(SaveDef::Tensor)
    }
}
