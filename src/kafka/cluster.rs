//! What a cluster says of itself and of a group, for who looks before a run: brokers, topics, ends of
//! many partitions at once, members. Asks; joins nothing, changes nothing.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset as RdOffset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::error::Problem;
use crate::kafka::consumer::{Consumer, named, number, unsigned};
use crate::record::{Offset, Partition};

/// Questions to a cluster that has answered before.
const ANSWER: Duration = Duration::from_secs(10);

/// What Kafka says of a topic that is nobody's business.
const DENIED: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;

/// One broker under the address it gives to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    pub id: i32,
    /// `HOST:PORT`.
    pub address: String,
}

/// One topic.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub partitions: u32,
    /// Partitions that nobody leads at the moment.
    pub leaderless: Vec<u32>,
    /// Brokers that lead some of it.
    pub leaders: Vec<i32>,
}

/// Brokers and topics, internal ones left out.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub brokers: Vec<Advertised>,
    pub topics: Vec<Topic>,
}

/// Somebody in a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub client_id: String,
    pub host: String,
}

/// First offset and end of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    pub partition: Partition,
    pub low: Offset,
    pub high: Offset,
}

impl Consumer {
    /// Brokers and topics; the first question to a cluster, so it also proves the login.
    pub fn cluster(&self) -> Result<Cluster, Problem> {
        let metadata = self.first_contact()?;
        let broker = |broker: &rdkafka::metadata::MetadataBroker| Advertised {
            id: broker.id(),
            address: match broker.host() {
                host if host.contains(':') => format!("[{host}]:{}", broker.port()),
                host => format!("{host}:{}", broker.port()),
            },
        };
        let is_shown = |topic: &&rdkafka::metadata::MetadataTopic| {
            !is_internal(topic.name()) && topic.error() != Some(DENIED)
        };
        let topics = metadata.topics().iter().filter(is_shown);
        Ok(Cluster {
            brokers: metadata.brokers().iter().map(broker).collect(),
            topics: topics.map(topic).collect(),
        })
    }

    /// Why a topic that the cluster does not list is not there: `true` where this user may not see it.
    pub fn is_denied(&self, topic: &str) -> bool {
        let Ok(metadata) = self.inner.fetch_metadata(Some(topic), ANSWER) else { return false };
        metadata.topics().iter().any(|found| found.error() == Some(DENIED))
    }

    /// First offsets and ends of many partitions: two questions to each leader, not two a partition.
    pub fn bounds(&self, partitions: &[Partition]) -> Result<Vec<Bounds>, Problem> {
        let low = self.edge(partitions, RdOffset::Beginning)?;
        let high = self.edge(partitions, RdOffset::End)?;
        let bounds = |((partition, low), (_, high)): ((Partition, Offset), (Partition, Offset))| {
            Bounds { partition, low, high: high.max(low) }
        };
        Ok(low.into_iter().zip(high).map(bounds).collect())
    }

    /// In the order asked for.
    fn edge(
        &self,
        partitions: &[Partition],
        edge: RdOffset,
    ) -> Result<Vec<(Partition, Offset)>, Problem> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            // Where a time is expected, librdkafka's two special offsets are the protocol's two
            // special times.
            let added = list.add_partition_offset(&partition.topic, number(partition), edge);
            added.map_err(|error| self.failed("read the ends of partitions", &error))?;
        }
        let found = self.inner.offsets_for_times(list, ANSWER);
        let found = found.map_err(|error| self.failed("read the ends of partitions", &error))?;
        let read = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let failed = |error| self.failed("read the ends of partitions", &error);
            element.error().map_err(failed)?;
            let offset = element.offset().to_raw().unwrap_or_default();
            Ok((named(element.topic(), element.partition()), unsigned(offset)))
        };
        found.elements().into_iter().map(read).collect()
    }

    /// Who is in a group now.
    pub fn members(&self, group: &str) -> Result<Vec<Member>, Problem> {
        let groups = self.inner.fetch_group_list(Some(group), ANSWER);
        let groups = groups.map_err(|error| self.failed("describe the group", &error))?;
        let members = groups.groups().iter().flat_map(|group| group.members());
        Ok(members
            .map(|member| Member {
                id: member.id().to_owned(),
                client_id: member.client_id().to_owned(),
                host: member.client_host().trim_start_matches('/').to_owned(),
            })
            .collect())
    }
}

impl Member {
    /// A task of Kafka Connect names itself after connector and number.
    pub fn is_connect_worker(&self) -> bool {
        self.client_id.starts_with("connector-consumer-")
    }
}

fn is_internal(topic: &str) -> bool {
    ["__consumer_offsets", "__transaction_state", "__share_group_state"].contains(&topic)
}

fn topic(topic: &rdkafka::metadata::MetadataTopic) -> Topic {
    let partitions = topic.partitions().iter();
    let leaderless = partitions
        .clone()
        .filter(|partition| partition.leader() < 0)
        .map(|partition| u32::try_from(partition.id()).unwrap_or_default());
    let mut leaders: Vec<i32> =
        partitions.clone().map(|partition| partition.leader()).filter(|id| *id >= 0).collect();
    leaders.sort_unstable();
    leaders.dedup();
    Topic {
        name: topic.name().to_owned(),
        partitions: u32::try_from(topic.partitions().len()).unwrap_or_default(),
        leaderless: leaderless.collect(),
        leaders,
    }
}
