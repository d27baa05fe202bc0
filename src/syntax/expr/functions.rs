//! The functions of the expression language: one table.

/// A function that expressions may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    If,
    Default,
    Choose,
    Min,
    Max,
    Abs,
    Ceil,
    Floor,
    At,
    Len,
    Contains,
    Last,
    Product,
    StartsWith,
    IsList,
    IsText,
    ConvOut,
    FindLast,
    ExpectedExperts,
    Isqrt,
    FloatProduct,
}

/// A function's name, how many arguments it takes, and what it gives.
#[derive(Debug)]
pub struct FunctionInfo {
    pub function: Function,
    pub name: &'static str,
    pub min_args: usize,
    pub max_args: usize,
    pub usage: &'static str,
    pub doc: &'static str,
}

const MANY: usize = usize::MAX;

/// In the order of [`Function`].
pub const FUNCTIONS: &[FunctionInfo] = &[
    info(Function::If, "if", 3, 3, "if(condition, then, otherwise)", "one of two values; the other isn't looked at"),
    info(
        Function::Default,
        "default",
        2,
        MANY,
        "default(a, b, ...)",
        "the first that is neither null nor absent; the later ones aren't looked at",
    ),
    info(
        Function::Choose,
        "choose",
        4,
        MANY,
        "choose(x, a, ra, b, rb, ..., otherwise)",
        "ra if x == a, rb if x == b, ..., else the last",
    ),
    info(Function::Min, "min", 1, MANY, "min(a, b, ...)", "the least of the numbers"),
    info(Function::Max, "max", 1, MANY, "max(a, b, ...)", "the greatest of the numbers"),
    info(Function::Abs, "abs", 1, 1, "abs(x)", "the absolute value"),
    info(Function::Ceil, "ceil", 1, 1, "ceil(x)", "the least integer not below x"),
    info(Function::Floor, "floor", 1, 1, "floor(x)", "the greatest integer not above x: `floor(a / b)` is integer division"),
    info(
        Function::At,
        "at",
        2,
        2,
        "at(list, i)",
        "the i-th item of a list, character of a text (both from 0), or member of an object: a number means the key that is this number, zeros before it or not",
    ),
    info(Function::Len, "len", 1, 1, "len(list)", "how many items, characters or members"),
    info(
        Function::Contains,
        "contains",
        2,
        2,
        "contains(list, x)",
        "whether x is in the list, or a part of the text, or a key of the object (of a number as with `at`)",
    ),
    info(Function::Last, "last", 1, 1, "last(list)", "the last item of a list"),
    info(
        Function::Product,
        "product",
        1,
        2,
        "product(list, n)",
        "the product of the first n numbers of a list (n left out: of all), 1 if there are none",
    ),
    info(Function::StartsWith, "starts_with", 2, 2, "starts_with(text, prefix)", "whether the text begins so"),
    info(Function::IsList, "is_list", 1, 1, "is_list(x)", "whether x is a list"),
    info(Function::IsText, "is_text", 1, 1, "is_text(x)", "whether x is a text"),
    info(
        Function::ConvOut,
        "conv_out",
        4,
        5,
        "conv_out(size, kernel, stride, padding, dilation)",
        "the output size of a convolution or pooling: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1; dilation is 1 if left out",
    ),
    info(
        Function::FindLast,
        "find_last",
        3,
        3,
        "find_last(list, x, before)",
        "the greatest index below `before` at which the list has x, or the text its character",
    ),
    info(
        Function::ExpectedExperts,
        "expected_experts",
        3,
        3,
        "expected_experts(num_experts, top_k, tokens)",
        "how many of the experts some token is routed to, under uniform routing: E (1 - (1 - k/E)^tokens), to a millionth",
    ),
    info(Function::Isqrt, "isqrt", 1, 1, "isqrt(n)", "the greatest integer whose square is at most n"),
    info(
        Function::FloatProduct,
        "float_product",
        2,
        2,
        "float_product(a, b)",
        "the product as Python's floats give it, rounded to 53 bits: `floor(float_product(a, b))` is `int(a * b)`",
    ),
];

const fn info(
    function: Function,
    name: &'static str,
    min_args: usize,
    max_args: usize,
    usage: &'static str,
    doc: &'static str,
) -> FunctionInfo {
    FunctionInfo { function, name, min_args, max_args, usage, doc }
}

impl Function {
    #[must_use]
    pub fn find(name: &str) -> Option<&'static FunctionInfo> {
        FUNCTIONS.iter().find(|info| info.name == name)
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        FUNCTIONS.get(self as usize).map_or("", |info| info.name)
    }
}

#[cfg(test)]
mod tests {
    use super::FUNCTIONS;

    #[test]
    fn the_table_has_the_order_of_the_enum() {
        for (index, info) in FUNCTIONS.iter().enumerate() {
            assert_eq!(info.function as usize, index, "{}", info.name);
        }
    }
}
