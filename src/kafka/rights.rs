//! What Kafka lets this login do with topics: DescribeTopics with the operations allowed, which rdkafka
//! does not wrap. With `queue.rs` the only `unsafe` code.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;
use std::{ptr, slice};

use rdkafka::bindings as ffi;
use rdkafka::client::Client;
use rdkafka::types::RDKafka;

use crate::kafka::consumer::Mailbox;

/// What may be done with one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    pub read: bool,
    pub write: bool,
}

/// Numbers of operations in Kafka's protocol.
const READ: u32 = 3;
const WRITE: u32 = 4;

/// The rights to each topic that this login may see; a topic that it may not see, or about which
/// brokers older than 2.3 say nothing, is left out.
pub(super) fn of_topics(
    client: &Client<Mailbox>,
    topics: &[&str],
    limit: Duration,
) -> BTreeMap<String, Rights> {
    let names: Vec<CString> = topics.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    if pointers.is_empty() {
        return BTreeMap::new();
    }
    let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives for the whole call, the names until after the request was made, which
    // copies them. Each object is destroyed once, the event after everything that was read out of it.
    unsafe {
        let handle = client.native_ptr();
        let queue = ffi::rd_kafka_queue_new(handle);
        ask(handle, &mut pointers, limit_ms, queue);
        let event = ffi::rd_kafka_queue_poll(queue, limit_ms);
        let mut rights = BTreeMap::new();
        if !event.is_null() {
            let result = ffi::rd_kafka_event_DescribeTopics_result(event);
            if !result.is_null() {
                rights = read(result);
            }
            ffi::rd_kafka_event_destroy(event);
        }
        ffi::rd_kafka_queue_destroy(queue);
        rights
    }
}

/// SAFETY: `handle` and `queue` are alive, `names` point to C strings.
unsafe fn ask(
    handle: *mut RDKafka,
    names: &mut [*const c_char],
    limit_ms: i32,
    queue: *mut ffi::rd_kafka_queue_t,
) {
    // SAFETY: all objects are made here and destroyed once; what setting an option says is destroyed, or
    // left out by passing no room for it.
    unsafe {
        let operation = ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = ffi::rd_kafka_AdminOptions_new(handle, operation);
        let refused = ffi::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            ffi::rd_kafka_error_destroy(refused);
        }
        // Without it the default of a minute applies, and `poll` ends earlier all the same.
        ffi::rd_kafka_AdminOptions_set_request_timeout(options, limit_ms, ptr::null_mut(), 0);
        let topics = ffi::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        ffi::rd_kafka_DescribeTopics(handle, topics, options, queue);
        ffi::rd_kafka_TopicCollection_destroy(topics);
        ffi::rd_kafka_AdminOptions_destroy(options);
    }
}

/// SAFETY: `result` is alive.
unsafe fn read(result: *const ffi::rd_kafka_DescribeTopics_result_t) -> BTreeMap<String, Rights> {
    let mut rights = BTreeMap::new();
    // SAFETY: librdkafka gives arrays with their lengths, all owned by the result. Operations are read as
    // numbers: a newer broker may know more of them than the enumeration.
    unsafe {
        let mut count = 0;
        let topics = ffi::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() {
            return rights;
        }
        for &topic in slice::from_raw_parts(topics, count) {
            let mut count = 0;
            let allowed =
                ffi::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
            let name = ffi::rd_kafka_TopicDescription_name(topic);
            let error = ffi::rd_kafka_TopicDescription_error(topic);
            // No error is an empty one.
            let is_there = ffi::rd_kafka_error_code(error)
                == ffi::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            if allowed.is_null() || name.is_null() || !is_there {
                continue;
            }
            let allowed = slice::from_raw_parts(allowed.cast::<u32>(), count);
            let of_topic =
                Rights { read: allowed.contains(&READ), write: allowed.contains(&WRITE) };
            rights.insert(CStr::from_ptr(name).to_string_lossy().into_owned(), of_topic);
        }
    }
    rights
}
