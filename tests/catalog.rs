//! The catalog tests itself: every file loads, says what it must, and its worked examples come out exactly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use layerspec::bind::Signature;
use layerspec::catalog::{Catalog, Class, Example, builtin_slot, check_parameter, dtypes};
use layerspec::cost::{Evaluated, evaluate};
use layerspec::expr::{Exact, Value};
use layerspec::workload::{Request, Workload};

/// Every class with its file.
fn classes(catalog: &Catalog) -> Vec<(&'static str, Arc<Class>)> {
    let load = |(index, file): (usize, &layerspec::catalog::ClassFile)| match catalog.class_at(index).unwrap() {
        Ok(class) => (file.path, class),
        Err(diagnostics) => panic!("{}: {:#?}", file.path, diagnostics.sorted()),
    };
    catalog.class_files().iter().enumerate().map(load).collect()
}

#[test]
fn every_file_loads_and_says_what_it_must() {
    let catalog = Catalog::new();
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
    let catalog = Catalog::new();
    let mut claimed: BTreeMap<&str, &str> = BTreeMap::new();
    for file in catalog.class_files() {
        for name in std::iter::once(&file.class).chain(file.aliases) {
            if let Some(other) = claimed.insert(name, file.path) {
                panic!("`{name}` is claimed by {other} and {}", file.path);
            }
        }
    }
    for (index, file) in catalog.class_files().iter().enumerate() {
        let class = catalog.class_at(index).unwrap().unwrap();
        assert_eq!(&*class.name, file.class, "{}", file.path);
        assert!(class.aliases.iter().map(|a| &**a).eq(file.aliases.iter().copied()), "{}", file.path);
        for name in std::iter::once(&file.class).chain(file.aliases).filter(|name| !name.contains('*')) {
            let found = catalog.class(name).unwrap().unwrap();
            assert!(Arc::ptr_eq(&found, &class), "`{name}` leads to `{}`", found.name);
        }
    }
}

fn run(class: &Arc<Class>, example: &Example) -> Result<Evaluated, String> {
    let request = Request::from_pairs(&example.workload).map_err(|(name, expected)| format!("`{name}`: {expected}"))?;
    if let Some((name, _)) = request.settings.iter().find(|(name, _)| builtin_slot(name).is_none()) {
        return Err(format!("`{name}` is no workload option"));
    }
    let workload = Workload::complete(&request, &[], None);
    let (mut arguments, mut overrides) = (Vec::new(), Vec::new());
    for (name, value) in &example.parameters {
        match class.parameters.iter().position(|p| p.name == *name) {
            Some(index) => {
                let parameter = &class.parameters[index];
                let value = check_parameter(parameter, value).ok_or_else(|| format!("`{name}` can't be {value}"))?;
                arguments.push((u16::try_from(index).unwrap(), value));
            }
            None => {
                let slot = builtin_slot(name).filter(|_| name.ends_with("_bytes"));
                overrides.push((slot.ok_or_else(|| format!("no parameter `{name}`"))?.try_into().unwrap(), value.clone()));
            }
        }
    }
    let given: HashSet<&str> = example.parameters.iter().map(|(name, _)| &**name).collect();
    if let Some(missing) = class.parameters.iter().find(|p| p.default.is_none() && !given.contains(&*p.name)) {
        return Err(format!("`{}` is missing", missing.name));
    }
    let signature = Signature { class: Some(class.clone()), arguments, overrides, weights: None };
    evaluate(&signature, &workload.values(&request, &[]), workload.phase).map_err(|problem| problem.message().to_owned())
}

#[test]
fn every_example_is_exact() {
    let catalog = Catalog::new();
    let mut wrong = Vec::new();
    let mut figures = 0;
    for (path, class) in classes(&catalog) {
        for (index, example) in class.examples.iter().enumerate() {
            let place = format!("{path}, example {index} ({})", example.doc);
            let found = match run(&class, example) {
                Ok(found) => found,
                Err(message) => {
                    wrong.push(format!("{place}: {message}"));
                    continue;
                }
            };
            for (quantity, expected) in &example.expect {
                figures += 1;
                match found.cost.named(quantity) {
                    Some(value) if value == *expected => {}
                    Some(value) => wrong.push(format!("{place}: {quantity} is {value}, expected {expected}")),
                    None => wrong.push(format!("{place}: `{quantity}` is no quantity")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {figures}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(figures > 0);
}

/// What a class computes must stand in some example, or nothing checks it.
#[test]
fn the_examples_state_every_kind_of_flops() {
    let catalog = Catalog::new();
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
    let text = include_str!("../catalog/dtypes.json");
    let entries: indexmap::IndexMap<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    let names: Vec<&str> = dtypes::all().iter().map(|dtype| &*dtype.name).collect();
    assert_eq!(names, entries.keys().map(String::as_str).collect::<Vec<_>>(), "an entry doesn't load");
    let mut claimed = HashSet::new();
    for dtype in dtypes::all() {
        assert!(dtype.bits > Exact::ZERO, "{}", dtype.name);
        assert!(!dtype.doc.is_empty() && !dtype.source.is_empty(), "{}", dtype.name);
        for name in std::iter::once(&*dtype.name).chain(dtype.aliases.iter().map(String::as_str)) {
            assert!(claimed.insert(name.to_lowercase()), "`{name}` is claimed twice");
            assert_eq!(dtypes::find(&name.to_uppercase()).unwrap().name, dtype.name);
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
        let found = dtypes::find(name).unwrap();
        assert_eq!(found.bits, Exact::parse(bits).unwrap(), "{name}");
        assert_eq!(found.bytes(), Exact::ratio(bytes, elements).unwrap(), "{name}");
    }
    assert_eq!(dtypes::find("bf6"), Err(Some("bf16")));
    assert_eq!(Value::Number(dtypes::find("bf16").unwrap().bytes()), Value::count(2));
}
