//! What an entry of the flat list says of its layer beside the costs: parameters with their values, tensors that go in, come out and stay.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::analysis::layers::{Feed, Layer, Maker, Read};
use crate::catalog::{Dtype, Element};
use crate::cost::Tensor;
use crate::evaluation::{Evaluation, Row};
use crate::quantity::Exact;
use crate::quantity::workload::{DTYPE_BYTES, INDEX_DTYPE_BYTES, KV_DTYPE_BYTES, VARIABLES};
use crate::syntax::expr::Value;

/// A value as JSON: integers as integers, whatever their size; other numbers as the nearest double's shortest decimal.
pub struct ValueJson<'v>(pub &'v Value);

impl Serialize for ValueJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Number(number) => match number.to_integer() {
                Some(n) => match i64::try_from(n) {
                    Ok(n) => serializer.serialize_i64(n),
                    Err(_) => serializer.serialize_i128(n),
                },
                None => serializer.serialize_f64(number.to_f64()),
            },
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items.iter().map(ValueJson)),
            Value::Object(members) => serializer.collect_map(members.iter().map(|(key, value)| (&**key, ValueJson(value)))),
        }
    }
}

/// The parameters that a layer gives its class.
pub struct Parameters<'e>(pub Row<'e>);

impl Serialize for Parameters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.parameters().map(|parameter| (parameter.name, ValueJson(parameter.value))))
    }
}

/// Workload values that a layer has for itself: an encoder's length, an element size.
pub struct Replaced<'e>(pub Row<'e>);

impl Replaced<'_> {
    /// Those that the layer, or a composite around it, says; sizes that follow from how weights are stored aside.
    fn values(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let said = |slot: &u16| self.0.info.row.overrides.iter().any(|(own, _)| own == slot);
        let overrides = self.0.signature().into_iter().flat_map(|signature| &signature.overrides);
        overrides
            .filter(move |(slot, _)| said(slot))
            .filter_map(|(slot, value)| Some((VARIABLES.get(usize::from(*slot))?.0, value)))
    }

    pub fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }
}

impl Serialize for Replaced<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.values().map(|(name, value)| (name, ValueJson(value))))
    }
}

/// What a layer reads.
pub struct Inputs<'a> {
    pub evaluation: &'a Evaluation,
    pub layer: &'a Layer<'a>,
}

impl Serialize for Inputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (row, reads) = (self.layer.instance.row, &self.layer.reads);
        let mut list = serializer.serialize_seq(Some(reads.len()))?;
        let ports = self.evaluation.report.ports(row.id);
        let names = row.class().map_or(&[][..], |class| &class.inputs);
        for (at, read) in reads.iter().enumerate() {
            let port = ports.and_then(|ports| ports.inputs().nth(at)).filter(|port| port.exists).map(|port| port.element);
            let shape = row.flow.and_then(|flow| flow.inputs().get(at)).and_then(Option::as_deref);
            let name = names.get(at).map(|input| &*input.name);
            list.serialize_element(&Input { evaluation: self.evaluation, name, read, shape, port })?;
        }
        list.end()
    }
}

struct Input<'a> {
    evaluation: &'a Evaluation,
    name: Option<&'a str>,
    read: &'a Read,
    shape: Option<&'a [u128]>,
    /// What the layer takes there.
    port: Option<Element>,
}

impl Input<'_> {
    /// The element type of what comes; what the layer takes, where the file doesn't say what the model is called with.
    fn dtype(&self, feed: &Feed) -> Option<&str> {
        let (row, element) = match &feed.from {
            Maker::Input(_) if self.evaluation.flat.inputs.is_none() => (None, self.port.unwrap_or(feed.element)),
            Maker::Input(_) => (None, feed.element),
            Maker::Layer { row, .. } => (self.evaluation.row(*row), feed.element),
        };
        dtype(self.evaluation, row, element)
    }
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(name) = self.name {
            map.serialize_entry("name", name)?;
        }
        match &self.read[..] {
            [] => map.serialize_entry("from", &())?,
            [feed] => {
                match &feed.from {
                    Maker::Input(at) => map.serialize_entry("model_input", input_name(self.evaluation, *at))?,
                    Maker::Layer { path, .. } => map.serialize_entry("from", &**path)?,
                }
                if let Some(output) = output_name(self.evaluation, feed) {
                    map.serialize_entry("output", output)?;
                }
            }
            // Of each instance of a parallel repeat.
            several => {
                let paths = several.iter().map(|feed| match &feed.from {
                    Maker::Input(at) => input_name(self.evaluation, *at),
                    Maker::Layer { path, .. } => path,
                });
                map.serialize_entry("from", &paths.collect::<Vec<&str>>())?;
            }
        }
        // What doesn't exist at this workload, such as a mask that flash attention doesn't need, has neither.
        map.serialize_entry("shape", &self.shape)?;
        map.serialize_entry("dtype", &self.read.first().filter(|_| self.shape.is_some()).and_then(|feed| self.dtype(feed)))?;
        map.end()
    }
}

fn input_name(evaluation: &Evaluation, at: u32) -> &str {
    evaluation.flat.input_name(at as usize).unwrap_or(crate::syntax::spec::DEFAULT_INPUT)
}

/// The name of an output of a layer that has several.
fn output_name<'e>(evaluation: &'e Evaluation, feed: &Feed) -> Option<&'e str> {
    let Maker::Layer { row, output, .. } = &feed.from else { return None };
    let outputs = &evaluation.row(*row)?.class()?.outputs;
    outputs.get(usize::from(*output)).filter(|_| outputs.len() > 1).map(|output| &*output.name)
}

/// What a layer gives; outputs that don't exist here are left out.
pub struct Outputs<'a> {
    pub evaluation: &'a Evaluation,
    pub layer: &'a Layer<'a>,
}

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.layer.instance.row;
        let mut list = serializer.serialize_seq(None)?;
        if let (Some(class), Some(ports)) = (row.class(), self.evaluation.report.ports(row.id)) {
            let shapes = row.flow.map_or(&[][..], |flow| flow.outputs());
            let given = self.layer.gives.iter().map(|read| read.first().map(|feed| feed.element));
            for (((port, def), shape), element) in ports.outputs().zip(&class.outputs).zip(shapes).zip(given) {
                if port.exists {
                    let dtype = dtype(self.evaluation, Some(row), element.unwrap_or(port.element));
                    list.serialize_element(&Output { name: &def.name, shape: shape.as_deref(), dtype, view: port.view })?;
                }
            }
        }
        list.end()
    }
}

struct Output<'a> {
    name: &'a str,
    shape: Option<&'a [u128]>,
    dtype: Option<&'a str>,
    view: bool,
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name)?;
        map.serialize_entry("shape", &self.shape)?;
        map.serialize_entry("dtype", &self.dtype)?;
        if self.view {
            map.serialize_entry("view", &true)?;
        }
        map.end()
    }
}

/// The tensors that a layer owns.
pub struct Weights<'a> {
    pub evaluation: &'a Evaluation,
    pub row: Row<'a>,
}

impl Serialize for Weights<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.row.weights().iter().map(|tensor| Weight { evaluation: self.evaluation, tensor }))
    }
}

struct Weight<'a> {
    evaluation: &'a Evaluation,
    tensor: &'a Tensor,
}

impl Serialize for Weight<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &*self.tensor.name)?;
        map.serialize_entry("shape", &self.tensor.shape)?;
        let dtype = self.evaluation.weight_dtype(self.tensor);
        map.serialize_entry("dtype", &dtype)?;
        if let (None, Some(bits)) = (dtype, self.tensor.element_bytes.checked_mul(Exact::integer(8))) {
            map.serialize_entry("bits", &super::units::number(bits))?;
        }
        map.serialize_entry("bytes", &self.tensor.bytes)?;
        map.end()
    }
}

/// The dtype of a value that a row makes, or that the model is called with. `None`: the layer says a number of bytes that none of the
/// workload's dtypes has.
fn dtype<'e>(evaluation: &'e Evaluation, row: Option<Row<'e>>, element: Element) -> Option<&'e str> {
    let workload = &evaluation.bound.workload;
    // A tensor that a composite owns.
    if let Some(weight) = row.filter(|row| row.class().is_none()).and_then(|row| row.weights().first()) {
        return evaluation.weight_dtype(weight);
    }
    let own = |slot: usize| {
        let overrides = row.and_then(|row| row.signature()).into_iter().flat_map(|signature| &signature.overrides);
        overrides.filter(|(at, _)| usize::from(*at) == slot).find_map(|(_, bytes)| bytes.as_number())
    };
    let or = |slot: usize, usual: &'e Dtype| match own(slot) {
        // What four bytes are that no dtype of the workload has.
        Some(bytes) if bytes != usual.bytes() => (bytes.to_count() == Some(4)).then_some("fp32"),
        _ => Some(&*usual.name),
    };
    match element {
        Element::Activation => or(DTYPE_BYTES, &workload.dtype),
        Element::Cache => or(KV_DTYPE_BYTES, &workload.kv_dtype),
        Element::Index if own(INDEX_DTYPE_BYTES).and_then(|bytes| bytes.to_count()) == Some(4) => Some("int32"),
        Element::Index => Some("int64"),
        Element::Float32 => Some("fp32"),
        Element::Bool => Some("bool"),
    }
}
