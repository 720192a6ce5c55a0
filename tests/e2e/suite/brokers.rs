//! The ground itself: what the other tests rely on is seen to hold on every Kafka version.

use e2e::kafka::{Kafka, Options, Version};
use e2e::produce::{self, Load};
use e2e::row;
use e2e::starrocks::{Ids, StarRocks};
use e2e::topics;

#[test]
fn a_fresh_topic_holds_a_row_at_the_offset_of_its_index() {
    for version in [Version::V3_9, Version::V4_1] {
        let kafka = Kafka::start(&Options { version, ..Options::default() }).expect("Kafka starts");
        topics::create(&kafka.bootstrap(), "rows", 3, &[]).expect("created");
        produce::fast(&kafka.bootstrap(), &Load::json("rows", 3, 30_000)).expect("produced");
        let ends = topics::watermarks(&kafka.bootstrap(), "rows").expect("watermarks");
        assert_eq!(ends, [(0, 10_000); 3]);
        kafka.stop().expect("Kafka stops");
    }
}

#[test]
fn transactions_leave_gaps_so_offsets_are_no_counts() {
    let bootstrap = crate::scene::bootstrap();
    let topic = topics::fresh_name("transactions");
    topics::create(&bootstrap, &topic, 1, &[]).expect("created");
    let done =
        produce::in_transactions(&bootstrap, &Load::json(&topic, 1, 100), 10, 5).expect("produced");
    assert_eq!((done.committed.len(), done.aborted), (80, 20));
    let ends = topics::watermarks(&bootstrap, &topic).expect("watermarks");
    assert_eq!(ends, [(0, 110)], "a hundred records and ten control records");
}

#[test]
fn one_broker_of_three_can_die_and_come_back() {
    let options = Options { brokers: 3, ..Options::default() };
    let mut kafka = Kafka::start(&options).expect("Kafka starts");
    topics::create(&kafka.bootstrap(), "rows", 3, &[]).expect("created");
    kafka.kill(1);
    produce::fast(&kafka.bootstrap(), &Load::json("rows", 3, 3_000)).expect("produced");
    kafka.restart(1).expect("it comes back");
    let ends = topics::watermarks(&kafka.bootstrap(), "rows").expect("watermarks");
    assert_eq!(ends, [(0, 1_000); 3]);
    kafka.stop().expect("Kafka stops");
}

#[test]
fn the_standin_counts_the_ids_of_the_rows_that_were_loaded() {
    let starrocks = StarRocks::standin().expect("the stand-in starts");
    starrocks
        .create_table("counted", &format!("({}) DUPLICATE KEY (id)", row::COLUMNS))
        .expect("made");
    starrocks.tally_ids("counted").expect("ids are tallied");
    let (load, mut body, mut text) = (Load::json("", 3, 1_000), String::new(), String::new());
    for row in load.all() {
        row.json(&mut text);
        body.push_str(&text);
        body.push('\n');
    }
    let be = starrocks.be.as_deref().expect("the stand-in has a backend");
    let login = format!("{}:{}", starrocks.user, starrocks.password);
    let login = format!("Basic {}", openssl::base64::encode_block(login.as_bytes()));
    let reply = ureq::put(format!("http://{be}/api/{}/counted/_stream_load", starrocks.db))
        .header("Authorization", login)
        .header("format", "json")
        .send(&body)
        .and_then(|mut reply| reply.body_mut().read_to_string())
        .expect("the backend answers");
    assert!(reply.contains("\"Success\""), "{reply}");
    assert_eq!(starrocks.ids("counted").expect("ids"), load.all().collect::<Ids>());
    assert_eq!(starrocks.tally("counted").expect("tally").rows, 1_000);
}
