//! What things cost a month, roughly: list prices of us-east-1 (aws.amazon.com/ec2/pricing/on-demand and
//! aws.amazon.com/ebs/pricing, read in November 2026). For an order of magnitude, not for a bill.

/// Hours of a month, as AWS's calculator counts them.
const HOURS: f64 = 730.0;
/// A public IPv4 address, used or idle, US dollars an hour.
const ADDRESS: f64 = 0.005;

/// Price of the size `large` of a family, US dollars an hour (Linux, on demand); within a family the price
/// doubles with the size.
const LARGE: [(&str, f64); 34] = [
    ("t2", 0.0928),
    ("t3", 0.0832),
    ("t3a", 0.0752),
    ("t4g", 0.0672),
    ("m4", 0.1),
    ("m5", 0.096),
    ("m5a", 0.086),
    ("m5d", 0.113),
    ("m6i", 0.096),
    ("m6a", 0.0864),
    ("m6g", 0.077),
    ("m7i", 0.1008),
    ("m7i-flex", 0.09576),
    ("m7a", 0.11592),
    ("m7g", 0.0816),
    ("m8g", 0.08976),
    ("c4", 0.1),
    ("c5", 0.085),
    ("c5a", 0.077),
    ("c5d", 0.096),
    ("c6i", 0.085),
    ("c6a", 0.0765),
    ("c6g", 0.068),
    ("c7i", 0.08925),
    ("c7a", 0.10264),
    ("c7g", 0.0725),
    ("c8g", 0.07976),
    ("r5", 0.126),
    ("r5a", 0.113),
    ("r6i", 0.126),
    ("r6a", 0.1134),
    ("r6g", 0.1008),
    ("r7i", 0.1323),
    ("r7g", 0.1071),
];

/// A running instance of `name`, such as `t3.micro`; `None` for families that are not in the table.
pub(crate) fn instance(name: &str) -> Option<f64> {
    let (family, size) = name.split_once('.')?;
    let large = LARGE.iter().find(|(known, _)| *known == family)?.1;
    let times = match size {
        "nano" => 1.0 / 16.0,
        "micro" => 1.0 / 8.0,
        "small" => 1.0 / 4.0,
        "medium" => 1.0 / 2.0,
        "large" => 1.0,
        "xlarge" => 2.0,
        _ => 2.0 * size.strip_suffix("xlarge")?.parse::<f64>().ok()?,
    };
    Some(large * times * HOURS)
}

/// A volume of `kind`, such as `gp3`, and `gib` GiB; IOPS and throughput beyond the included ones are left out.
pub(crate) fn volume(kind: &str, gib: i32) -> Option<f64> {
    let price = match kind {
        "gp3" => 0.08,
        "gp2" => 0.1,
        "io1" | "io2" => 0.125,
        "st1" => 0.045,
        "sc1" => 0.015,
        "standard" => 0.05,
        _ => return None,
    };
    Some(price * f64::from(gib))
}

/// A public IPv4 address.
pub(crate) fn address() -> f64 {
    ADDRESS * HOURS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_double() {
        let cents = |usd: Option<f64>| usd.map(|usd| (usd * 100.0).round());
        assert_eq!(cents(instance("t3.micro")), Some(759.0));
        assert_eq!(cents(instance("m5.4xlarge")), Some(56064.0));
        assert_eq!(instance("u-24tb1.metal"), None);
        assert_eq!(cents(volume("gp3", 16)), Some(128.0));
        assert_eq!(cents(Some(address())), Some(365.0));
    }
}
