//! What is written is read again, and what is not ours is refused.

use super::*;

/// A reproducible stream of numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn tables(&mut self, least: u64) -> Vec<TableHash> {
        let count = least + self.roll(4);
        let hashes: std::collections::BTreeSet<_> =
            (0..count).map(|_| TableHash(self.roll(1 << 31) as u32)).collect();
        hashes.into_iter().collect()
    }

    fn cursor(&mut self) -> Cursor {
        let intent = (self.roll(2) == 0).then(|| Intent {
            end: Offset(self.roll(1 << 30)),
            partitions: 1 + self.roll(1500) as u32,
            tables: self.tables(1),
            deadline_s: self.roll(1 << 31),
            database: ["shop", "a;b=c", "größe %", "x_1"][self.roll(4) as usize].to_owned(),
            prefix: Prefix::of_name("orders-sink"),
            abort_attempted: self.roll(2) == 0,
            is_plain: self.roll(2) == 0,
            records: (self.roll(2) == 0).then(|| self.roll(1 << 40)),
        });
        let mut until = 0;
        let owed: Vec<Owed> = (0..self.roll(4))
            .map(|_| {
                until += 1 + self.roll(50);
                Owed { until: Offset(until), tables: self.tables(0) }
            })
            .collect();
        let fingerprint =
            if intent.is_some() || !owed.is_empty() { self.roll(u64::MAX) } else { 0 };
        let bound = (self.roll(2) == 0).then(|| Offset(self.roll(99)));
        let counted = (self.roll(2) == 0).then(|| self.roll(1 << 40));
        let request = (self.roll(2) == 0).then(|| Request {
            hash: self.roll(u64::MAX),
            until: bound,
            counted,
        });
        let (run, seq) = (RunId(self.roll(u64::MAX)), Seq(self.roll(1000)));
        Cursor { run, seq, intent, owed, fingerprint, request }
    }
}

#[test]
fn what_is_written_reads_back() {
    let mut dice = Dice(1);
    for _ in 0..2_000 {
        let cursor = dice.cursor();
        let text = cursor.write();
        assert!(text.is_ascii(), "{text}");
        assert_eq!(Cursor::parse(&text), Ok(Some(cursor)), "{text}");
    }
}

#[test]
fn a_damaged_string_is_refused_or_read_as_what_it_says() {
    let mut dice = Dice(2);
    for _ in 0..2_000 {
        let mut text = dice.cursor().write().into_bytes();
        let at = dice.roll(text.len() as u64) as usize;
        text[at] = b";=,0az"[dice.roll(6) as usize];
        let text = String::from_utf8(text).expect("ASCII stays ASCII");
        if let Ok(Some(cursor)) = Cursor::parse(&text) {
            assert_eq!(Cursor::parse(&cursor.write()), Ok(Some(cursor)), "{text}");
        }
    }
}

#[track_caller]
fn check(text: &str, expect: Foreign) {
    assert_eq!(Cursor::parse(text), Err(expect), "{text}");
}

#[test]
fn what_is_not_understood_is_refused() {
    check("offset of another tool", Foreign::NotOurs);
    check("{\"v\":1}", Foreign::NotOurs);
    check("sk2;r=0000000000000001;n=1", Foreign::OtherVersion);
    check("sk1", Foreign::Malformed);
    check("sk1;r=0000000000000001", Foreign::Malformed);
    check("sk1;r=1;n=1", Foreign::Malformed);
    check("sk1;r=0000000000000001;n=1;n=2", Foreign::Malformed);
    check("sk1;r=0000000000000001;n=+1", Foreign::Malformed);
    check("sk1;r=0000000000000001;n=1;zz=1", Foreign::Malformed);
    check("sk1;r=0000000000000001;n=1;e=5", Foreign::Malformed);
    check("sk1;r=0000000000000001;n=1;v=a", Foreign::Malformed);
    check("sk1;r=0000000000000001;n=1;o=0000000a,u=5", Foreign::Malformed);
}

#[test]
fn the_java_connectors_offsets_are_taken_over() {
    assert_eq!(Cursor::parse(""), Ok(None));
}

#[test]
fn the_longest_possible_intent_fits_the_brokers_default() {
    let prefix = Prefix::of_name(&"p".repeat(100));
    let limit = Cursor::table_limit(4096, &"d".repeat(64), &prefix, &[]);
    assert!(limit >= 256, "{limit}");
    let owed = [Owed { until: Offset(9), tables: (0..256).map(TableHash).collect() }];
    assert!(Cursor::table_limit(4096, "d", &prefix, &owed) < 256);
    assert_eq!(Cursor::table_limit(100, "d", &prefix, &[]), 0);
}

#[test]
fn a_padded_record_is_as_long_as_asked_for_and_reads_the_same() {
    let claim = Cursor {
        run: RunId(7),
        seq: Seq(0),
        intent: None,
        owed: vec![],
        fingerprint: 0,
        request: None,
    };
    let prefix = Prefix::parse("orders").expect("a prefix");
    let length = claim.longest_intent(3, "shop", &prefix, false);
    let text = claim.write_padded(length);
    assert_eq!(text.len(), length);
    assert_eq!(Cursor::parse(&text), Ok(Some(claim.clone())));
    assert_eq!(claim.write_padded(1), claim.write());
}
