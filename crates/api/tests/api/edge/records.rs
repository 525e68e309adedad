//! What metrics and the log say of a request.

use std::sync::Arc;

use api::error::Code;
use serde_json::Value;

use super::fixture::{CANARY, send_request, start};

#[tokio::test]
async fn metrics_count_by_route_pattern_and_by_the_tenant_that_the_handler_named() {
    let metrics = api_testing::METRICS.clone();
    let (running, tenant) = (start().await, uuid::Uuid::new_v4());
    assert_eq!(send_request(&running, "GET", &format!("/tenant/{tenant}"), "").await.status, 503);
    let expected = [
        r#"dailycare_api_requests_total{method="GET",route="/tenant/{id}",class="5xx"} 1"#.to_owned(),
        format!(r#"dailycare_tenant_requests_total{{tenant="{tenant}",class="5xx"}} 1"#),
        format!(r#"dailycare_tenant_errors_total{{tenant="{tenant}",code="POOL_EXHAUSTED"}} 1"#),
    ];
    let text = metrics.render();
    assert!(expected.iter().all(|line| text.contains(line)), "{text}");
    assert!(text.contains(r#"dailycare_api_request_duration_seconds_count{route="/tenant/{id}"} 1"#), "{text}");
    assert!(!text.contains("/tenant/0") && !text.contains(&format!("/tenant/{tenant}")), "{text}");
}

#[tokio::test]
async fn refusals_for_the_caller_or_the_school_are_counted_by_code_and_nothing_else_is() {
    let metrics = api_testing::METRICS.clone();
    let running = start().await;
    for code in Code::ALL {
        send_request(&running, "GET", &format!("/fail/{}", code.label()), "").await;
    }
    let text = metrics.render();
    for code in Code::ALL {
        let counted = text.contains(&format!("dailycare_api_refusals_total{{code=\"{}\"}}", code.label()));
        assert_eq!(counted, matches!(code.status().as_u16(), 401 | 403) || *code == Code::InvalidTenant, "{code:?}\n{text}");
    }
}

/// A log in memory. Clones share it.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_route_tenant_and_trace_once_and_the_cause_which_the_answer_hides() {
    // While there is only one subscriber, tracing asks the thread that first meets a callsite whether it matters, which may be another test's.
    let _another = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let (running, tenant) = (start().await, uuid::Uuid::new_v4());
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    send_request(&running, "GET", &format!("/logged/{tenant}?name=canary-child"), &format!("X-Request-Id: ticket\r\n{trace}")).await;
    send_request(&running, "GET", "/fail/INTERNAL_ERROR", "").await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("canary-child"), "{text}");
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: Vec<_> = records.iter().filter(|record| record["fields"]["message"] == "answered").collect();
    assert_eq!(answered.len(), 2, "{text}");
    for (field, value) in [
        ("route", Value::from("/logged/{id}")),
        ("tenant", tenant.to_string().into()),
        ("client_request_id", "ticket".into()),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".into()),
        ("status", 503.into()),
    ] {
        assert_eq!(answered[0]["span"][field], value, "{text}");
    }
    let failed: Vec<_> = records.iter().filter(|record| record["fields"]["cause"] == CANARY).collect();
    assert_eq!((failed.len(), failed[0]["level"].as_str()), (1, Some("ERROR")), "{text}");
}
