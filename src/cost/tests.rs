//! The worked examples of the catalog's classes come out exactly.

use super::example::differences;
use crate::catalog::{CLASS_FILES, Catalog};

#[test]
fn every_example_is_exact() {
    let catalog = Catalog::new();
    let mut wrong = Vec::new();
    let mut figures = 0;
    for (file, class) in CLASS_FILES.iter().zip(catalog.whole_classes()) {
        let (path, class) = (file.path, class.unwrap());
        for (index, example) in class.examples.iter().enumerate() {
            figures += example.expect.len();
            let place = format!("{path}, example {index} ({})", example.doc);
            wrong.extend(differences(&class, example, &catalog).into_iter().map(|difference| format!("{place}: {difference}")));
        }
    }
    assert!(wrong.is_empty(), "{} of {figures}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(figures > 0);
}
