//! The catalog tests itself: every file loads and says what it must, every name leads to one thing, figures are plausible.
//! That the worked examples of classes come out exactly is `cost`'s test.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::convention::ROW_NAMES;
use super::index::{CLASS_FILES, CONVENTION_FILES, DEVICE_FILES};
use super::{Catalog, CatalogFile, Class, Classes, Convention, Device, Fact, Role, builtin_slot};
use crate::quantity::Exact;
use crate::syntax::diag::{Code, Diagnostics};
use crate::syntax::expr::Value;
use crate::syntax::spec::{Body, Layer};

/// Every class with its file.
fn classes(catalog: &Arc<Catalog>) -> Vec<(&'static str, Arc<Class>)> {
    let load = |(file, class): (&'static CatalogFile, Result<_, Diagnostics>)| match class {
        Ok(class) => (file.path, class),
        Err(diagnostics) => panic!("{}: {:#?}", file.path, diagnostics.sorted()),
    };
    CLASS_FILES.iter().zip(catalog.whole_classes()).map(load).collect()
}

#[test]
fn what_is_computed_with_is_the_same_without_examples() {
    let catalog = Arc::new(Catalog::new());
    let mut shorter = 0;
    for (whole, part) in catalog.whole_classes().zip(catalog.classes()) {
        let (whole, part) = (format!("{:#?}", whole.unwrap()), format!("{:#?}", part.unwrap()));
        let cut = |text: &str| text.split("\n    derivation: [").next().unwrap().to_owned();
        assert_eq!(cut(&whole), cut(&part));
        shorter += usize::from(part.len() < whole.len());
    }
    assert!(shorter * 10 > CLASS_FILES.len() * 9, "only {shorter} files have their examples last");
}

#[test]
fn every_file_loads_and_says_what_it_must() {
    let catalog = Arc::new(Catalog::new());
    let classes = classes(&catalog);
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/classes")).unwrap();
    assert_eq!(classes.len(), files.count(), "a file is not embedded");
    for (path, class) in classes {
        assert!(!class.doc.is_empty(), "{path}: no doc");
        assert!(!class.source.is_empty(), "{path}: no source");
        assert!(!class.derivation.is_empty() && class.derivation.iter().all(|line| !line.is_empty()), "{path}: no derivation");
        assert!(!class.examples.is_empty(), "{path}: no example");
        for parameter in &class.parameters {
            assert!(!parameter.doc.is_empty(), "{path}: `{}` has no doc", parameter.name);
        }
        for example in &class.examples {
            assert!(!example.source.is_empty(), "{path}: an example without a source");
            assert!(!example.expect.is_empty(), "{path}: an example that expects nothing");
        }
    }
}

#[test]
fn names_are_claimed_once_and_lead_to_their_class() {
    let catalog = Arc::new(Catalog::new());
    let mut claimed: BTreeMap<&str, &str> = BTreeMap::new();
    for file in CLASS_FILES {
        for name in std::iter::once(&file.name).chain(file.aliases) {
            if let Some(other) = claimed.insert(name, file.path) {
                panic!("`{name}` is claimed by {other} and {}", file.path);
            }
        }
    }
    for (file, class) in CLASS_FILES.iter().zip(catalog.classes()) {
        let class = class.unwrap();
        assert_eq!(&*class.name, file.name, "{}", file.path);
        assert!(class.aliases.iter().map(|a| &*a.name).eq(file.aliases.iter().copied()), "{}", file.path);
        for name in std::iter::once(&file.name).chain(file.aliases).filter(|name| !name.contains('*')) {
            let found = catalog.class(name).unwrap().unwrap();
            assert!(Arc::ptr_eq(&found, &class), "`{name}` leads to `{}`", found.name);
            // A row is shown by its full name, and stays what it was by the other.
            let full = class.full_name(name).unwrap_or(&class.name);
            assert!(found.name == *full || class.called(full) == class.called(name), "`{name}` becomes `{full}`");
        }
    }
}

/// What a class computes must stand in some example, or nothing checks it.
#[test]
fn the_examples_state_every_kind_of_flops() {
    let catalog = Arc::new(Catalog::new());
    let mut missing = Vec::new();
    for (path, class) in classes(&catalog) {
        let stated: HashSet<&str> = class.examples.iter().flat_map(|e| &e.expect).map(|(name, _)| &**name).collect();
        let forward = ["matmul_flops", "vector_flops", "transcendentals"];
        let backward = ["backward_matmul_flops", "backward_vector_flops", "backward_transcendentals"];
        let wanted = forward.into_iter().chain(backward.into_iter().filter(|_| class.backward.is_some()));
        let params = ["params"].into_iter().filter(|_| !class.weights.is_empty());
        let cache = ["cache_bytes"].into_iter().filter(|_| class.cache.is_some());
        missing.extend(wanted.chain(params).chain(cache).filter(|q| !stated.contains(q)).map(|q| format!("{path}: {q}")));
    }
    assert!(missing.is_empty(), "no example states\n{}", missing.join("\n"));
}

#[test]
fn dtypes_have_their_true_size() {
    let text = include_str!("../../catalog/dtypes.json");
    let entries: indexmap::IndexMap<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    let catalog = Catalog::new();
    let names: Vec<&str> = catalog.dtypes().iter().map(|dtype| &*dtype.name).collect();
    assert_eq!(names, entries.keys().map(String::as_str).collect::<Vec<_>>(), "an entry doesn't load");
    let mut claimed = HashSet::new();
    for dtype in catalog.dtypes() {
        assert!(dtype.bits > Exact::ZERO, "{}", dtype.name);
        assert!(!dtype.doc.is_empty() && !dtype.source.is_empty(), "{}", dtype.name);
        for name in std::iter::once(&*dtype.name).chain(dtype.aliases.iter().map(|alias| &**alias)) {
            assert!(claimed.insert(name.to_lowercase()), "`{name}` is claimed twice");
            assert_eq!(catalog.dtype(&name.to_uppercase()).unwrap().name, dtype.name);
        }
    }
    // ggml's block structures: bytes of a block and its elements. MXFP4 (OCP 1.0): 32 elements of 4 bits and an 8-bit scale.
    for (name, bytes, elements, bits) in [
        ("q4_0", 18, 32, "4.5"),
        ("q8_0", 34, 32, "8.5"),
        ("q4_k", 144, 256, "4.5"),
        ("q6_k", 210, 256, "6.5625"),
        ("mxfp4", 17, 32, "4.25"),
    ] {
        let found = catalog.dtype(name).unwrap();
        assert_eq!(found.bits, Exact::parse(bits).unwrap(), "{name}");
        assert_eq!(found.bytes(), Exact::ratio(bytes, elements).unwrap(), "{name}");
    }
    assert_eq!(catalog.dtype("bf6"), Err(Some("bf16".to_owned())));
    assert_eq!(Value::Number(catalog.dtype("bf16").unwrap().bytes()), Value::count(2));
}

/// Every device with the names that the index has for its file.
fn devices(catalog: &Arc<Catalog>) -> Vec<(&'static CatalogFile, Arc<Device>)> {
    let load = |(file, device): (&'static CatalogFile, Result<_, Diagnostics>)| match device {
        Ok(device) => (file, device),
        Err(diagnostics) => panic!("{}: {:#?}", file.path, diagnostics.sorted()),
    };
    DEVICE_FILES.iter().zip(catalog.devices()).map(load).collect()
}

#[test]
fn every_device_loads_under_its_own_name_and_has_a_source() {
    let catalog = Arc::new(Catalog::new());
    let devices = devices(&catalog);
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/hardware")).unwrap();
    assert_eq!(devices.len(), files.count(), "a file is not embedded");
    for (file, device) in devices {
        assert_eq!(file.path, format!("catalog/hardware/{}.json", device.name));
        assert!(device.name.split('-').all(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())));
        assert!(!device.title.is_empty() && !device.vendor.is_empty() && !device.kind.is_empty(), "{}", file.path);
        assert!(!device.sources.is_empty() && device.sources.iter().all(|source| !source.is_empty()), "{}", file.path);
        let doubts = device.sources.iter().chain(&device.note).any(|s| s.contains("not re-read") || s.contains("from memory"));
        assert!(!(device.verified && doubts), "{}: verified, and not", file.path);
    }
}

#[test]
fn device_names_are_claimed_once_and_by_nothing_else() {
    let catalog = Arc::new(Catalog::new());
    let classes = Classes::new(catalog.clone(), Vec::new(), Vec::new());
    let mut claimed = HashSet::new();
    for (file, device) in devices(&catalog) {
        assert!(device.aliases.iter().map(|a| &**a).eq(file.aliases.iter().copied()), "{}", file.path);
        for name in std::iter::once(&device.name).chain(&device.aliases) {
            assert!(claimed.insert(name.to_lowercase()), "`{name}` is claimed twice");
            let found = catalog.device(&name.to_uppercase()).unwrap().unwrap();
            assert!(Arc::ptr_eq(&found, &device), "`{name}` leads to `{}`", found.name);
            // `explain` takes all of these.
            assert!(Code::find(name).is_none() && catalog.dtype(name).is_err() && classes.find(name).is_none(), "`{name}`");
        }
    }
}

#[test]
fn every_convention_loads_under_its_own_name_and_says_what_it_means() {
    let catalog = Arc::new(Catalog::new());
    let mut claimed = HashSet::new();
    let conventions: Vec<Arc<Convention>> =
        catalog.conventions().map(|read| read.unwrap_or_else(|said| panic!("{:#?}", said.sorted()))).collect();
    for (file, convention) in CONVENTION_FILES.iter().zip(&conventions) {
        assert_eq!(file.path, format!("catalog/conventions/{}.json", convention.name));
        for name in std::iter::once(&convention.name).chain(&convention.aliases) {
            assert!(claimed.insert(name.to_lowercase()), "`{name}` is claimed twice");
            // `explain` takes all of these.
            let others = catalog.dtype(name).is_ok() || catalog.device(name).is_some() || catalog.family(name).is_some();
            assert!(!others && Code::find(name).is_none() && catalog.class(name).is_none(), "`{name}`");
        }
        for term in &convention.terms {
            let classes: Vec<Arc<Class>> = term.of.classes.iter().map(|name| catalog.class(name).unwrap().unwrap()).collect();
            assert!(term.of.except_classes.iter().all(|name| catalog.class(name).is_some()), "{}: {}", file.path, term.term);
            for formula in [Some(&term.forward), term.backward.as_ref(), term.when.as_ref()].into_iter().flatten() {
                formula.expr.for_each_variable(&mut |name| {
                    let of_all = ROW_NAMES.iter().any(|(known, _)| *known == &*name.text) || builtin_slot(&name.text).is_some();
                    let of_each = || classes.iter().all(|class| class.slot_of(&name.text).is_some());
                    assert!(
                        of_all || (term.of.roles.is_empty() && of_each()),
                        "{}: `{}` in {}",
                        file.path,
                        name.text,
                        formula.text
                    );
                });
            }
        }
    }
    assert_eq!(conventions.iter().filter(|convention| convention.reference).count(), 1);
    let terms = |convention: &Convention| convention.terms.iter().map(|term| term.term.clone()).collect::<HashSet<_>>();
    let shared: Vec<HashSet<Arc<str>>> = conventions.iter().map(|convention| terms(convention)).collect();
    // A term of one convention alone is a misspelling of another's, but for those that only one has.
    let alone = |term: &Arc<str>| shared.iter().filter(|terms| terms.contains(term)).count() == 1;
    let mut only: Vec<Arc<str>> = shared.iter().flatten().filter(|term| alone(term)).cloned().collect();
    only.sort();
    assert_eq!(only.iter().map(|term| &**term).collect::<Vec<_>>(), ["causal half", "embeddings", "recomputation"]);
}

/// A slip of a unit is a factor of a thousand; these bounds are closer than that to the least and the greatest there is.
#[test]
fn device_figures_are_plausible() {
    const GB: u128 = 1_000_000_000;
    const TFLOPS: u128 = 1_000_000_000_000;
    let catalog = Arc::new(Catalog::new());
    for (file, device) in devices(&catalog) {
        let place = file.path;
        // Memory that is part of the chip is small; that of a server's processor is what its sockets can take.
        let capacity = match &*device.kind {
            "CPU" => 64 * GB..8192 * GB,
            "accelerator" => GB / 10..1000 * GB,
            _ => GB..1000 * GB,
        };
        assert!(capacity.contains(&device.memory_capacity), "{place}: capacity");
        let fastest = if device.memory_capacity < GB { 100_000 * GB } else { 10_000 * GB };
        assert!((50 * GB..fastest).contains(&device.memory_bandwidth.unwrap()), "{place}: bandwidth");
        for (dtype, peak) in &device.peak_flops_per_second {
            assert!((TFLOPS / 20..20_000 * TFLOPS).contains(peak), "{place}: {dtype}");
        }
        // How often one peak has another, in quarters.
        let within = |a: &str, b: &str, least: u128, most: u128| match (device.peak(a), device.peak(b)) {
            (Some(a), Some(b)) => (least * b..=most * b).contains(&(4 * a)),
            _ => true,
        };
        // CDNA 1 has bf16 at half of fp16, Neoverse's vectors the other way round.
        assert!(within("bf16", "fp16", 2, 8), "{place}: bf16 to fp16");
        // Gaudi 3's two are equal; MXFP8 of Trainium 3 is almost four times bf16.
        assert!(within("fp8", "bf16", 4, 16), "{place}: fp8 to bf16");
        // Of RTX 50 four times, by rounded figures.
        assert!(within("fp4", "fp8", 4, 17), "{place}: fp4 to fp8");
        assert!(within("vector_fp32", "fp32", 1, 4), "{place}: vectors to the best unit");
        assert!(
            device.interconnect.as_ref().is_none_or(|link| (4 * GB..2_000 * GB).contains(&link.bytes_per_second)),
            "{place}: link"
        );
        assert!(device.tdp_watts.is_none_or(|watts| (7..2_000).contains(&watts)), "{place}: power");
    }
}

#[test]
fn every_family_and_block_loads() {
    let catalog = Arc::new(Catalog::new());
    let mut claimed: BTreeMap<String, String> = BTreeMap::new();
    for name in catalog.family_names() {
        let family = catalog.family(name).unwrap().unwrap_or_else(|said| panic!("{name}: {:#?}", said.sorted()));
        assert!(!family.source.is_empty() && (family.is_base() || !family.prefix().is_empty()), "{name}");
        assert!(family.is_base() || !family.layers.is_empty(), "{name} has no layers");
        let head = |wanted: &str| family.heads.iter().any(|head| &*head.name.value == wanted);
        assert!(family.default_head.as_ref().is_none_or(|default| head(&default.value)), "{name}: its default head isn't there");
        for model_type in &family.model_types {
            if let Some(other) = claimed.insert(model_type.to_string(), name.to_owned()) {
                panic!("`{model_type}` is claimed by {other} and {name}");
            }
        }
    }
    assert!(claimed.len() > 100, "{}", claimed.len());
    for name in catalog.block_names() {
        let block = catalog.block(name).unwrap().unwrap_or_else(|said| panic!("{name}: {:#?}", said.sorted()));
        assert!(block.doc.is_some(), "{name}: no doc");
    }
}

/// A word that nothing says is no vocabulary.
#[test]
fn every_role_and_fact_is_said_of_something() {
    fn said(layers: &[Layer], roles: &mut HashSet<String>) {
        for layer in layers {
            roles.extend(layer.role.iter().map(|role| role.value.to_string()));
            if let Body::Composite(layers) = &layer.body {
                said(layers, roles);
            }
        }
    }
    let catalog = Arc::new(Catalog::new());
    let (mut roles, mut facts) = (HashSet::new(), HashSet::new());
    for (_, class) in classes(&catalog) {
        let said = std::iter::once(class.role).chain(class.aliases.iter().map(|alias| alias.role));
        roles.extend(said.flatten().map(|role| role.word().to_owned()));
        facts.extend(class.facts.iter().map(|(fact, _)| *fact));
    }
    for block in catalog.block_names().map(|name| catalog.block(name).unwrap().unwrap()) {
        roles.extend(block.role.iter().map(|role| role.value.to_string()));
        said(&block.layers, &mut roles);
    }
    for family in catalog.family_names().map(|name| catalog.family(name).unwrap().unwrap()) {
        said(&family.layers, &mut roles);
    }
    // Nothing is said of what is other.
    roles.insert(Role::Other.word().to_owned());
    let unsaid: Vec<&str> = Role::ALL.iter().map(|role| role.word()).filter(|word| !roles.remove(*word)).collect();
    assert!(unsaid.is_empty() && roles.is_empty(), "said of nothing: {unsaid:?}; not in catalog/roles.json: {roles:?}");
    let unsaid: Vec<&str> = Fact::ALL.iter().filter(|fact| !facts.contains(fact)).map(|fact| fact.word()).collect();
    assert!(unsaid.is_empty(), "known of nothing: {unsaid:?}");
    assert!(Role::ALL.iter().all(|role| Role::from_word(role.word()) == Some(*role)), "a word is there twice");
}

const X1: &str = r#"{ "name": "x1", "aliases": ["x-one"], "title": "X1", "vendor": "X", "kind": "GPU", "memory_capacity": 8000000000,
    "memory_bandwidth": 3, "peak_flops_per_second": { "bf16": 5 }, "sources": ["a page"], "verified": true }"#;

/// What lies over the embedded files comes before it, and stands in place of what has its name.
#[test]
fn a_catalog_can_lie_over_the_embedded_one() {
    let h100 = X1.replace("x-one", "hopper").replace("\"x1\"", "\"h100-sxm\"");
    let catalog = Catalog::overlaid([
        ("hardware/x1.json", X1),
        ("hardware/mine.json", &h100),
        ("dtypes.json", r#"{ "BF16": { "bits": 15.5, "doc": "short", "source": "a test" } }"#),
        ("optimizers.json", r#"{ "lion": { "state_bytes": "n * state_dtype_bytes", "doc": "one moment", "source": "a test" } }"#),
        ("quantization.json", r#"{ "int3": { "bits": "3", "doc": "packed", "source": "a test" } }"#),
    ])
    .unwrap();
    assert_eq!(&*catalog.device("X-One").unwrap().unwrap().name, "x1");
    // Under another file's name, too; then its other names are nobody's.
    assert_eq!(catalog.device("hopper").unwrap().unwrap().memory_capacity, 8_000_000_000);
    assert!(catalog.device("h100-sxm5").is_none());
    let names: Vec<_> = catalog.devices().map(|device| device.unwrap().name.clone()).collect();
    assert_eq!(names.len(), DEVICE_FILES.len() + 1);
    assert_eq!(names.iter().filter(|name| &***name == "h100-sxm").count(), 1);
    assert_eq!(catalog.dtype("bf16").unwrap().bits, Exact::parse("15.5").unwrap());
    assert_eq!(catalog.dtypes().len(), Catalog::new().dtypes().len());
    assert_eq!(catalog.optimizer("lion").unwrap().state_bytes(&[10, 20], Exact::integer(4)), Some(800));
    assert_eq!(catalog.optimizer("adamw").unwrap().state_bytes(&[10, 20], Exact::integer(4)), Some(1604));
    assert_eq!(catalog.methods().first().map(|method| &*method.name), Some("int3"));
}

#[test]
fn a_mistake_in_what_lies_over_the_catalog_has_its_place() {
    let faults = [
        ("dtypes.json", r#"{ "int3": { "bits": 0, "doc": "", "source": "" } }"#, Code::WrongType, "0"),
        ("dtypes.json", r#"{ "int3": { "doc": "", "source": "" } }"#, Code::MissingKey, "{"),
        ("dtypes.json", "[1]", Code::WrongType, "[1]"),
        ("optimizers.json", r#"{ "lion": { "state_bytes": "2 * m", "doc": "", "source": "" } }"#, Code::UnknownVariable, "m"),
        ("quantization.json", r#"{ "int3": { "bits": "<a", "doc": "", "source": "" } }"#, Code::UnbalancedPlaceholder, "<a"),
        ("hardware/x1.json", &X1.replace("\"verified\"", "\"varified\""), Code::UnknownKey, "\"varified\""),
        ("classes/x.json", "{ ,", Code::MalformedJson, ","),
    ];
    for (path, text, code, place) in faults {
        // The second of two files, to see that each has a source of its own.
        let first = ("families/other.json", "{}");
        let diagnostic = Catalog::overlaid([first, (path, text)]).unwrap_err();
        let span = diagnostic.primary.as_ref().unwrap().span;
        assert_eq!((diagnostic.code, span.source), (code, Catalog::overlay_id(1)), "{text}: {}", diagnostic.message);
        assert_eq!(&text[span.range()], place, "{}", diagnostic.message);
    }
    let stray = Catalog::overlaid([("models/x.json", "{}")]).unwrap_err();
    assert_eq!((stray.code, stray.message.as_str()), (Code::CannotRead, "`models/x.json` is no file of a catalog"));
}

#[test]
fn every_entry_of_a_list_loads() {
    let catalog = Catalog::new();
    let names = |text: &str| -> Vec<String> {
        let entries: indexmap::IndexMap<String, serde_json::Value> = serde_json::from_str(text).unwrap();
        entries.keys().cloned().collect()
    };
    let optimizers: Vec<_> = catalog.optimizers().iter().map(|optimizer| optimizer.name.to_string()).collect();
    assert_eq!(optimizers, names(include_str!("../../catalog/optimizers.json")));
    let methods: Vec<_> = catalog.methods().iter().map(|method| method.name.to_string()).collect();
    assert_eq!(methods, names(include_str!("../../catalog/quantization.json")));
}

/// A class that lies over the catalog may extend one of the catalog's, or another that lies there.
#[test]
fn a_class_extends_what_its_name_leads_to() {
    let extending = |class: &str, base: &str, more: &str| {
        format!(r#"{{ "class": "{class}", "extends": "{base}", "doc": "d", "source": "s"{more} }}"#)
    };
    let catalog = Catalog::overlaid([
        ("classes/wide.json", extending("my.Wide", "my.Half", r#", "flops": { "vector": 7 }"#)),
        ("classes/half.json", extending("my.Half", "torch.nn.Linear", r#", "flops": { "matmul": 1 }, "output": ["...", 5]"#)),
        ("classes/itself.json", extending("my.Itself", "my.Itself", "")),
        ("classes/lost.json", extending("my.Lost", "my.Hal", "")),
    ])
    .unwrap();
    let class = catalog.class("my.Wide").unwrap().unwrap();
    let linear = catalog.class("torch.nn.Linear").unwrap().unwrap();
    let texts = [&class.flops.matmul, &class.flops.vector, &class.flops.transcendental].map(|formula| &*formula.text);
    assert_eq!(texts, ["1", "7", "0"]);
    assert_eq!((class.extends.as_deref(), class.kind), (Some("my.Half"), linear.kind));
    let names = |class: &Class| class.parameters.iter().map(|parameter| parameter.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&class), names(&linear));
    // What a class says of itself is nobody else's.
    assert!(class.aliases.is_empty() && class.examples.is_empty() && class.derivation.is_empty());
    // A taken-over formula keeps its place: what is wrong at it is shown in the file where it stands.
    assert!(class.backward.as_ref().unwrap().matmul.span.source != class.span.source);
    for (name, code, file) in [("my.Itself", Code::InvalidClass, 2), ("my.Lost", Code::UnknownClass, 3)] {
        let said = catalog.class(name).unwrap().unwrap_err();
        let found: Vec<_> = said.iter().map(|d| (d.code, d.primary.as_ref().map(|label| label.span.source))).collect();
        assert_eq!(found, [(code, Some(Catalog::overlay_id(file)))], "{name}");
    }
}

/// Neither a long chain nor a large base is followed without an end.
#[test]
fn what_a_class_takes_over_is_bounded() {
    let class = |at: usize, more: &str| {
        let text = format!(r#"{{ "class": "c{at}", "extends": "c{}", "doc": "d", "source": "s"{more} }}"#, at + 1);
        (format!("classes/c{at}.json"), text)
    };
    let long = Catalog::overlaid((0..20).map(|at| class(at, ""))).unwrap();
    let said = long.class("c0").unwrap().unwrap_err();
    assert_eq!(said.sorted()[0].message, "classes extend each other through more than 16 steps");
    let many = format!(r#", "quantized": [{}]"#, vec!["\"w\""; 2001].join(", "));
    let large = Catalog::overlaid([class(0, ""), class(1, &many)]).unwrap();
    let said = large.class("c0").unwrap().unwrap_err();
    assert_eq!(said.sorted()[0].message, "`c1` says more than 2000 values, too many to be taken over");
}

/// A family without a prefix is there for others to extend; one that configs are of needs it for its classes' names.
#[test]
fn a_family_of_configs_has_a_prefix() {
    let layers = r#""layers": [ { "name": "act", "class": "<prefix>Act" } ]"#;
    let catalog = Catalog::overlaid([
        ("families/base.json", format!(r#"{{ "source": "a test", {layers} }}"#)),
        (
            "families/child.json",
            r#"{ "model_types": ["child"], "prefix": "x.X", "source": "a test", "extends": "base" }"#.to_owned(),
        ),
        ("families/nameless.json", format!(r#"{{ "model_types": ["nameless"], "source": "a test", {layers} }}"#)),
    ])
    .unwrap();
    assert!(catalog.family("base").unwrap().unwrap().is_base());
    let child = catalog.family("child").unwrap().unwrap();
    assert!(!child.is_base() && child.layers.len() == 1);
    let said = catalog.family("nameless").unwrap().unwrap_err();
    assert_eq!(said.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::MissingKey]);
}
