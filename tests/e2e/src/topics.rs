//! Topics from outside: create, delete, count. By librdkafka's admin client, which wants no
//! runtime: its futures are completed by a thread of its own, so waiting for one is parking.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

const WITHIN: Duration = Duration::from_secs(30);

/// Creates `topic` and returns when its leaders are known. `settings` are topic settings such as
/// `cleanup.policy`.
pub fn create(
    bootstrap: &str,
    topic: &str,
    partitions: u32,
    settings: &[(&str, &str)],
) -> Result<()> {
    create_all(bootstrap, &[topic], partitions, settings)
}

/// Creates many topics in one request.
pub fn create_all(
    bootstrap: &str,
    topics: &[&str],
    partitions: u32,
    settings: &[(&str, &str)],
) -> Result<()> {
    let partitions = i32::try_from(partitions).context("number of partitions")?;
    let new = |name| {
        // -1: the broker's default.replication.factor
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
    };
    let new: Vec<NewTopic<'_>> = topics.iter().copied().map(new).collect();
    let admin = admin(bootstrap)?;
    let results = wait(admin.create_topics(&new, &options())).context("create topics")?;
    for result in results {
        result.map_err(|(topic, code)| anyhow::anyhow!("create topic `{topic}`: {code}"))?;
    }
    topics.iter().try_for_each(|topic| wait_for_leaders(bootstrap, topic))
}

/// Deletes `topic`.
pub fn delete(bootstrap: &str, topic: &str) -> Result<()> {
    let results =
        wait(admin(bootstrap)?.delete_topics(&[topic], &options())).context("delete a topic")?;
    for result in results {
        result.map_err(|(topic, code)| anyhow::anyhow!("delete topic `{topic}`: {code}"))?;
    }
    Ok(())
}

/// Deletes the records of `topic`'s first partition before `offset`, as retention does.
pub fn delete_records(bootstrap: &str, topic: &str, offset: i64) -> Result<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).context("an offset")?;
    wait(admin(bootstrap)?.delete_records(&list, &options())).context("delete records")?;
    Ok(())
}

/// First and next offset of each partition of `topic`, in order of partitions. Their difference
/// is a count of records only where nothing was compacted and no transaction was used.
pub fn watermarks(bootstrap: &str, topic: &str) -> Result<Vec<(i64, i64)>> {
    let consumer = consumer(bootstrap)?;
    let metadata = consumer.fetch_metadata(Some(topic), WITHIN).context("fetch metadata")?;
    let Some(topic) = metadata.topics().first() else { bail!("no metadata for `{topic}`") };
    let mut ids: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
    ids.sort_unstable();
    ids.into_iter()
        .map(|id| consumer.fetch_watermarks(topic.name(), id, WITHIN).context("fetch watermarks"))
        .collect()
}

/// What `group` has committed for each partition of `topic`, in order of partitions: offset and
/// metadata. Joins nothing.
pub fn committed(
    bootstrap: &str,
    group: &str,
    topic: &str,
    partitions: u32,
) -> Result<Vec<Option<(i64, String)>>> {
    let consumer: BaseConsumer =
        config(bootstrap).set("group.id", group).create().context("make a consumer")?;
    let mut list = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).context("number of partitions")? {
        list.add_partition(topic, partition);
    }
    // A coordinator that has just been chosen may not know it yet.
    let deadline = std::time::Instant::now() + WITHIN;
    let found = loop {
        match consumer.committed_offsets(list.clone(), WITHIN) {
            Err(_) if std::time::Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(100));
            }
            ended => break ended.context("fetch committed offsets")?,
        }
    };
    let read = |element: TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
        _ => None,
    };
    Ok(found.elements().into_iter().map(read).collect())
}

/// Commits offsets with their metadata for `group`. Nobody may be in it: waits until the session of a
/// dead member is over.
pub fn commit(
    bootstrap: &str,
    group: &str,
    topic: &str,
    offsets: &[(i32, i64, String)],
) -> Result<()> {
    let consumer: BaseConsumer =
        config(bootstrap).set("group.id", group).create().context("make a consumer")?;
    let mut list = TopicPartitionList::new();
    for (partition, offset, metadata) in offsets {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*offset)).context("set an offset")?;
        element.set_metadata(metadata);
    }
    let deadline = std::time::Instant::now() + WITHIN;
    loop {
        match consumer.commit(&list, CommitMode::Sync) {
            Err(_) if std::time::Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(100));
            }
            ended => return ended.context("commit offsets"),
        }
    }
}

/// A member of `group` that reads `topic`, as a Connect worker's consumer would be one. It is in the
/// group until it is dropped.
pub fn join(bootstrap: &str, group: &str, client_id: &str, topic: &str) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = config(bootstrap)
        .set("group.id", group)
        .set("client.id", client_id)
        .create()
        .context("make a consumer")?;
    consumer.subscribe(&[topic]).context("subscribe")?;
    let deadline = std::time::Instant::now() + WITHIN;
    while std::time::Instant::now() < deadline {
        consumer.poll(Duration::from_millis(50));
        if consumer.assignment().is_ok_and(|assigned| assigned.count() > 0) {
            return Ok(consumer);
        }
    }
    bail!("not in group `{group}` after {WITHIN:?}")
}

/// A topic name no other test and no other run has: `name`, process and counter.
pub fn fresh_name(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static USED: AtomicU32 = AtomicU32::new(0);
    let n = USED.fetch_add(1, Ordering::Relaxed);
    format!("{name}_{}_{n}", std::process::id())
}

fn wait_for_leaders(bootstrap: &str, topic: &str) -> Result<()> {
    let consumer = consumer(bootstrap)?;
    let deadline = std::time::Instant::now() + WITHIN;
    while std::time::Instant::now() < deadline {
        let metadata = consumer.fetch_metadata(Some(topic), WITHIN).context("fetch metadata")?;
        let found = metadata.topics().first();
        if found.is_some_and(|t| {
            !t.partitions().is_empty() && t.partitions().iter().all(|p| p.leader() >= 0)
        }) {
            return Ok(());
        }
        consumer.poll(Duration::from_millis(50));
    }
    bail!("topic `{topic}` has no leaders after {WITHIN:?}")
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>> {
    config(bootstrap).create().context("make an admin client")
}

fn consumer(bootstrap: &str) -> Result<BaseConsumer> {
    config(bootstrap).create().context("make a consumer")
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("log_level", "0");
    config
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(WITHIN)).request_timeout(Some(WITHIN))
}

/// Runs `future` to its end on this thread.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
