//! Fifty schools, everything at once, and not one foreign byte: the bounded part of `make torture-api`.

use api_testing::torture::{self, Plan};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thousands_of_requests_under_every_fault_none_is_answered_with_a_foreign_byte() {
    let seed = uuid::Uuid::new_v4().as_u64_pair().0;
    let plan = Plan { tenants: 50, requests: 4_000, clients: 16, progress: false, seed };
    let report = torture::run(plan).await;
    println!("{report}");
    report.verdict().unwrap_or_else(|wrong| panic!("{}", wrong.join("; ")));
}
