//! Dates and times of the proleptic Gregorian calendar in UTC, from and to their counts.
//! Knows no zone and no format language: `transform/date_format.rs` does.

use super::{Logical, Schema};

pub const MILLIS_PER_DAY: i64 = 86_400_000;

/// A date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1–12
    pub month: u32,
    /// 1–31
    pub day: u32,
    /// Nanoseconds since midnight.
    pub nanos: i64,
}

/// Year, month and day of a count of days since the epoch.
pub fn date_of_days(days: i64) -> (i64, u32, u32) {
    // Counted in eras of 400 years that begin on 1 March, so that the leap day ends a year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month =
        if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days since the epoch of a date; month and day may lie outside their ranges and roll over.
pub fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468 + day - 1
}

impl Civil {
    /// Of a count since the epoch in units of which a second has `per_second`.
    pub fn of_epoch(count: i64, per_second: i64) -> Civil {
        let per_day = per_second * 86_400;
        let (year, month, day) = date_of_days(count.div_euclid(per_day));
        let nanos = count.rem_euclid(per_day) * (1_000_000_000 / per_second);
        Civil { year, month, day, nanos }
    }
}

/// A count of days as `yyyy-MM-dd`.
pub fn date_text(days: i64) -> String {
    let (year, month, day) = date_of_days(days);
    if year < 0 {
        return format!("-{:04}-{month:02}-{day:02}", -year);
    }
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time of day as `HH:mm:ss`, with 3, 6 or 9 digits of fraction when it has one. Counts outside a
/// day keep their hours.
pub fn time_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let clock =
        format!("{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => clock,
        f if f % 1_000_000 == 0 => format!("{clock}.{:03}", f / 1_000_000),
        f if f % 1_000 == 0 => format!("{clock}.{:06}", f / 1_000),
        f => format!("{clock}.{f:09}"),
    }
}

/// The text StarRocks reads for a value of a date or time type: `2024-01-31`, `12:34:56.789`,
/// `2024-01-31 12:34:56.789`. `None` when the schema is of no such type.
pub fn logical_text(schema: &Schema, count: i64) -> Option<String> {
    match schema.logical() {
        Logical::Date | Logical::EpochDays => Some(date_text(count)),
        Logical::Time => Some(time_text(count.checked_mul(1_000_000)?)),
        Logical::TimeOfDay { per_second } => {
            Some(time_text(count.checked_mul(1_000_000_000 / per_second)?))
        }
        Logical::Timestamp => Some(timestamp_text(count, 1_000)),
        Logical::Epoch { per_second } => Some(timestamp_text(count, per_second)),
        Logical::Plain
        | Logical::Decimal { .. }
        | Logical::ZonedTimestamp
        | Logical::VariableScaleDecimal
        | Logical::Json
        | Logical::Unsigned => None,
    }
}

/// A count since the epoch as `yyyy-MM-dd HH:mm:ss[.fraction]`, in UTC.
pub fn timestamp_text(count: i64, per_second: i64) -> String {
    let days = count.div_euclid(per_second * 86_400);
    let civil = Civil::of_epoch(count, per_second);
    format!("{} {}", date_text(days), time_text(civil.nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = date_of_days(days);
            assert_eq!(days_of_date(year, i64::from(month), i64::from(day)), days);
        }
        assert_eq!(date_of_days(19_753), (2024, 1, 31));
        assert_eq!(date_of_days(-1), (1969, 12, 31));
        assert_eq!(days_of_date(2023, 13, 40), days_of_date(2024, 2, 9));
    }

    #[test]
    fn counts_print_as_dates_and_times() {
        assert_eq!(timestamp_text(1_714_283_798_721, 1_000), "2024-04-28 05:56:38.721");
        assert_eq!(timestamp_text(-1, 1_000_000), "1969-12-31 23:59:59.999999");
        assert_eq!(timestamp_text(0, 1_000), "1970-01-01 00:00:00");
        assert_eq!(time_text(64_957_123_000_000), "18:02:37.123");
        assert_eq!(date_text(19_000), "2022-01-08");
    }
}
