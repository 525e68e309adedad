//! Answers: the envelope, its languages, panics and request ids.

use api::error::Code;

use super::fixture::{Client, send_request, start};

#[tokio::test]
async fn every_code_is_answered_in_the_envelope_in_both_languages_and_without_its_cause() {
    let running = start().await;
    for code in Code::ALL {
        for (language, tag) in [("pt", "pt"), ("de, en;q=0.3", "en")] {
            let answer =
                send_request(&running, "GET", &format!("/fail/{}", code.label()), &format!("Accept-Language: {language}\r\n")).await;
            assert_eq!((answer.status, answer.code().as_str()), (code.status().as_u16(), code.label()));
            assert_eq!((answer.header("content-language"), answer.header("retry-after")), (Some(tag), Some("2")));
            assert_eq!(answer.header("www-authenticate").is_some(), answer.status == 401, "{answer:?}");
            let text = format!("{answer:?}");
            assert!(!text.contains("SELECT") && !text.contains("db.internal"), "{text}");
        }
    }
}

#[tokio::test]
async fn fields_that_are_wrong_are_named_in_the_requests_language() {
    let running = start().await;
    for (language, message) in [("pt-PT", "é obrigatório"), ("en", "is required")] {
        let answer = send_request(&running, "GET", "/fields", &format!("Accept-Language: {language}\r\n")).await;
        let expected = serde_json::json!([{"field": "guardians.0.name", "code": "required", "message": message}]);
        assert_eq!((answer.status, &answer.json()["error"]["fields"]), (422, &expected));
    }
    assert_eq!(send_request(&running, "GET", "/fail/NOT_FOUND", "").await.json()["error"].get("fields"), None);
}

#[tokio::test]
async fn what_the_framework_refuses_is_in_the_envelope_too() {
    let running = start().await;
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("DELETE", "/api/v1/ok", 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", "/api/v1/ok", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/number/seven", 400, "MALFORMED_REQUEST"),
        ("GET", "/number/%ff", 400, "MALFORMED_REQUEST"),
        ("POST", "/echo", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let answer = send_request(&running, method, path, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{answer:?}");
    }
}

#[tokio::test]
async fn a_head_request_is_answered_without_a_body_whether_it_fails_or_not() {
    let running = start().await;
    let mut client = Client::new(&running).await;
    for (path, status) in [("/api/v1/ok", 200), ("/nowhere", 404), ("/api/v1/ok", 200)] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        // A body would be read as the next answer's head.
        assert_eq!(client.answer_to("HEAD").await.status, status);
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_that_says_nothing_and_harms_nobody_else() {
    let running = start().await;
    let mut client = Client::new(&running).await;
    client.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET /api/v1/ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.code().as_str(), answer.body.contains("canary")), (500, "INTERNAL_ERROR", false));
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn every_request_has_an_id_of_ours_whatever_its_client_calls_it_and_handlers_know_it() {
    let running = start().await;
    let mut ids = std::collections::BTreeSet::new();
    let ours = uuid::Uuid::now_v7();
    for sent in ["", "X-Request-Id: ticket-42\r\n", "X-Request-Id: a b\"c\r\n", &format!("X-Request-Id: {ours}\r\n")] {
        let answer = send_request(&running, "GET", "/who", sent).await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!((uuid::Uuid::parse_str(&id).unwrap().get_version_num(), answer.json()["data"][0].as_str()), (7, Some(id.as_str())));
        assert_ne!(id, ours.to_string());
        ids.insert(id);
    }
    assert_eq!(ids.len(), 4);
}
