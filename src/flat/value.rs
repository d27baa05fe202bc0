//! Whose value a layer reads: where it is, seen from where it is read.

/// A value that a layer reads, addressed from where the layer stands: the same for all instances that share a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ValueRef {
    /// How many composites outward.
    pub up: u16,
    pub target: ValueTarget,
    /// What follows, step by step.
    pub rest: Vec<Step>,
}

impl ValueRef {
    /// What the composite `up` levels out was given.
    #[must_use]
    pub fn input(up: u16) -> Self {
        ValueRef { up, target: ValueTarget::Input, rest: Vec::new() }
    }

    /// The value of the `at`th node of the body in which it is read.
    #[must_use]
    pub fn node(at: u32) -> Self {
        ValueRef { up: 0, target: ValueTarget::Node(at), rest: Vec::new() }
    }
}

/// A step from a value's node to something in it: where, not by which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The n-th node of a composite.
    Child(u32),
    /// An instance of a repeat, by its index.
    Instance(u64),
    /// The n-th output of a layer's class.
    Output(u16),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueTarget {
    /// What the composite there was given.
    Input,
    /// The n-th node of the composite there.
    Node(u32),
    /// The n-th of the model's inputs.
    ModelInput(u32),
}
