//! Numbers for people: counts, bytes, rates, times. Pure but for [`clock_now`].

use std::time::{Duration, SystemTime};

/// `8.1M`, `412k`, `999`.
pub fn short(count: u64) -> String {
    scaled(count as f64, 1000.0, &["", "k", "M", "G", "T"], "")
}

/// `1.9 GiB`.
pub fn bytes(count: u64) -> String {
    scaled(count as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"], " ")
}

/// `96 MiB/s`
pub fn bytes_per_second(count: u64, time: Duration) -> String {
    format!("{}/s", bytes(per_second(count, time)))
}

/// `412k rows/s`
pub fn rows_per_second(count: u64, time: Duration) -> String {
    format!("{} rows/s", short(per_second(count, time)))
}

fn per_second(count: u64, time: Duration) -> u64 {
    let seconds = time.as_secs_f64();
    if seconds <= 0.0 { 0 } else { (count as f64 / seconds) as u64 }
}

/// `11 402 118`
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `1 record`, `1 204 records`
pub fn counted(count: u64, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(count))
}

/// `27.4 s`, `3 min 5 s`, `2 h 10 min`.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `45 s`, `10 min`, `2 h 10 min`, `3 days`: the two largest units of whole seconds.
pub fn long_time(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3600, " h"), (60, " min"), (1, " s")];
    let mut left = time.as_secs();
    let mut parts = vec![];
    for (seconds, unit) in UNITS {
        let count = left / seconds;
        left %= seconds;
        match (count, unit) {
            (0, _) => {}
            (count, "day") => parts.push(counted(count, unit)),
            (count, unit) => parts.push(format!("{count}{unit}")),
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// `8s`, `3m05s`, `2h10m`: as narrow as a bar wants it.
pub fn eta(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `12:00:10`, UTC.
pub fn clock_now() -> String {
    let stamp = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    stamp[11..19].to_string()
}

/// RFC 3339 with milliseconds.
pub fn stamp(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn scaled(mut value: f64, step: f64, units: &[&str], gap: &str) -> String {
    let mut unit = 0;
    while value >= step * 0.9995 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$}{gap}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(short(999), "999");
        assert_eq!(short(8_100_000), "8.1M");
        assert_eq!(short(412_000), "412k");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_992_294_400), "1.9 GiB");
        assert_eq!(grouped(11_402_118), "11 402 118");
        assert_eq!(grouped(12), "12");
        assert_eq!(time(Duration::from_millis(27_400)), "27.4 s");
        assert_eq!(time(Duration::from_secs(185)), "3 min 5 s");
        assert_eq!(eta(Duration::from_secs(185)), "3m05s");
        assert_eq!(rows_per_second(1000, Duration::from_millis(500)), "2.0k rows/s");
    }
}
