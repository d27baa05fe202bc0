//! What a user looks up in the catalog.

use crate::support::SESSION;

/// The H100 SXM5 as NVIDIA sells it: 80 GiB, 3.35 TB/s, 989.4 TFLOP/s of dense bf16, 450 GB/s to its peers, 700 W.
#[test]
fn a_device_has_its_figures_to_the_digit() {
    let catalog = SESSION.catalog();
    let device = catalog.device("H100-SXM5").unwrap().unwrap();
    assert_eq!(&*device.name, "h100-sxm");
    assert_eq!((device.memory_capacity, device.memory_bandwidth), (80 << 30, Some(3_350_000_000_000)));
    assert_eq!((device.peak("bf16"), device.peak("fp8")), (Some(989_400_000_000_000), Some(1_978_900_000_000_000)));
    assert_eq!((device.peak("fp4"), device.tdp_watts), (None, Some(700)));
    assert_eq!(device.interconnect.as_ref().map(|link| link.bytes_per_second), Some(450_000_000_000));
    // Decimal gigabytes where the vendor counts so.
    assert_eq!(catalog.device("h200").unwrap().unwrap().memory_capacity, 141_000_000_000);
}
