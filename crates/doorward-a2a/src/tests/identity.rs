//! Reading what was written, in one form and across two.

use bytes::Bytes;
use doorward_mcp::json::{Limits, Value};
use proptest::prelude::*;

use super::strategies::{Range, event, push, request, task};
use crate::fields::{Fields, Reading};
use crate::out::Out;
use crate::reply::{PushPage, Reply, TaskPage};
use crate::{Event, Form, Method, Request, Task, params};

fn json(text: &Bytes) -> serde_json::Value {
    serde_json::from_slice(text).unwrap()
}

fn value(text: &Bytes) -> Value {
    doorward_mcp::json::scan_object(text, Limits::default())
        .map_or_else(|_| Value::Raw(text.clone()), Value::Object)
}

/// Adds a member that the protocol does not define to every object.
fn with_unknown(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(object) => {
            object.values_mut().for_each(with_unknown);
            object.insert("xUnknown".to_owned(), serde_json::json!({ "of": [1.5] }));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(with_unknown),
        _ => {}
    }
}

fn reading(form: Form, strict: bool) -> Reading {
    Reading { form, strict }
}

fn read_event(text: &Bytes, form: Form) -> Event {
    Event::read_value(&value(text), reading(form, false)).unwrap()
}

fn read_request(method: Method, text: &Bytes, form: Form) -> Request {
    let fields = Fields::open(&value(text), reading(form, true)).unwrap();
    params::read(method, fields).unwrap()
}

fn write_event(event: &Event, form: Form) -> Bytes {
    Out::of(form, |out| event.write(out))
}

fn write_request(request: &Request, form: Form) -> Bytes {
    Out::of(form, |out| params::write(request, out))
}

proptest! {
    #[test]
    fn an_event_is_written_as_it_was_read(event in event(Range::Forms), all in event(Range::All)) {
        for form in Form::ALL {
            let text = write_event(if form == Form::V1 { &all } else { &event }, form);
            prop_assert_eq!(write_event(&read_event(&text, form), form), text.clone());
            let mut unknown = json(&text);
            with_unknown(&mut unknown);
            // The wrapper of an event is of one member only.
            if form != Form::Kind {
                unknown.as_object_mut().unwrap().remove("xUnknown");
            }
            let text = Bytes::from(unknown.to_string());
            prop_assert_eq!(json(&write_event(&read_event(&text, form), form)), unknown);
        }
    }

    #[test]
    fn an_event_loses_nothing_that_two_forms_can_say(event in event(Range::Forms), revisions in event(Range::Revisions)) {
        for one in Form::ALL {
            for other in Form::ALL {
                let event = if [one, other].contains(&Form::Proto) { &event } else { &revisions };
                let text = write_event(event, one);
                let translated = write_event(&read_event(&text, one), other);
                prop_assert_eq!(write_event(&read_event(&translated, other), one), text);
            }
        }
    }

    #[test]
    fn a_request_is_written_as_it_was_read(request in request(Range::Forms), all in request(Range::All)) {
        for form in [Form::V1, Form::Kind] {
            let request = if form == Form::V1 { &all } else { &request };
            let text = write_request(request, form);
            let read = read_request(request.method(), &text, form);
            prop_assert_eq!(write_request(&read, form), text.clone());
            let mut unknown = json(&text);
            with_unknown(&mut unknown);
            let text = Bytes::from(unknown.to_string());
            let read = read_request(request.method(), &text, form);
            prop_assert_eq!(json(&write_request(&read, form)), unknown);
        }
    }

    #[test]
    fn a_request_loses_nothing_that_both_revisions_can_say(request in request(Range::Revisions)) {
        for (one, other) in [(Form::V1, Form::Kind), (Form::Kind, Form::V1)] {
            let text = write_request(&request, one);
            let translated = write_request(&read_request(request.method(), &text, one), other);
            prop_assert_eq!(write_request(&read_request(request.method(), &translated, other), one), text);
        }
    }

    #[test]
    fn a_reply_is_written_as_it_was_read(tasks in proptest::collection::vec(task(Range::Forms), 0..3), push in push()) {
        let page = TaskPage { next_page_token: "n".into(), page_size: 50, total_size: 7, tasks: tasks.clone(), ..TaskPage::default() };
        let pushes = PushPage { configs: vec![push.clone(), push.clone()], ..PushPage::default() };
        let mut replies = vec![
            (Method::ListTasks, Reply::Tasks(page)),
            (Method::GetPush, Reply::Push(push.into())),
            (Method::ListPush, Reply::PushList(pushes)),
            (Method::DeletePush, Reply::Deleted),
        ];
        for task in tasks {
            replies.push((Method::GetTask, Reply::Task(Box::new(task.clone()))));
            replies.push((Method::Send, Reply::SentTask(task.into())));
        }
        for form in Form::ALL {
            for (method, reply) in &replies {
                let text = Out::of(form, |out| reply.write(out));
                let read = Reply::read(*method, &value(&text), reading(form, false)).unwrap();
                prop_assert_eq!(Out::of(form, |out| read.write(out)), text);
            }
        }
    }
}

#[test]
fn names_of_fields_are_read_too() {
    let text = r#"{"id":"t","context_id":"c","status":{"state":2,"timestamp":"2025-10-28T10:30:00Z"},
        "artifacts":[{"artifact_id":"a","parts":[{"text":"x","media_type":"text/plain"}]}]}"#;
    let task = Task::read(&value(&Bytes::from(text)), reading(Form::V1, true)).unwrap();
    assert_eq!(task.context_id.as_deref(), Some("c"));
    assert_eq!(task.status.state, crate::TaskState::Working);
    assert_eq!(task.artifacts.unwrap()[0].parts[0].media_type.as_deref(), Some("text/plain"));
}
