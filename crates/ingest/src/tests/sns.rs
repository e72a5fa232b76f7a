//! Amazon SNS against a scripted network: certificates are fetched once, from Amazon only, and subscriptions are confirmed.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Version;
use parking_lot::Mutex;
use trunkline_connect::{
    BoxFuture, EgressPolicy, OutboundRequest, OutboundResponse, SendError, Timings, Transport,
};

use super::*;
use crate::schemes::sns::testing::{
    AT, CERTIFICATE, CERTIFICATE_URL, confirmation, settings, signed, signed_notification,
};

/// Gives its answers in order and notes what was asked for.
#[derive(Default)]
struct Network {
    answers: Mutex<VecDeque<Result<(u16, Bytes), SendError>>>,
    asked: Mutex<Vec<String>>,
}

impl Transport for Network {
    fn send(&self, request: OutboundRequest) -> BoxFuture<'_, Result<OutboundResponse, SendError>> {
        self.asked.lock().push(request.target.uri().to_string());
        let answer = self.answers.lock().pop_front().expect("nothing more is asked for");
        Box::pin(std::future::ready(answer.map(|(status, body_head)| OutboundResponse {
            status: StatusCode::from_u16(status).unwrap(),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            body_head,
            truncated: false,
            trailers: HeaderMap::new(),
            timings: Timings::default(),
            peer: None,
            opened: None,
        })))
    }
}

struct Sns {
    hub: Hub,
    network: Arc<Network>,
}

impl Sns {
    fn start(home: &TestStore) -> Self {
        let mut hub = Hub::with_provider(home, settings());
        let network = Arc::new(Network::default());
        hub.clock = Arc::new(ManualClock::starting_at(AT));
        let source = provider_source(&SourceSettings::new("source", settings().into(), vec![]));
        let transport: Arc<dyn Transport> = Arc::clone(&network) as _;
        let outbound = Outbound { transport: transport.into(), policy: EgressPolicy::default().into() };
        let (store, clock) = (hub.store.clone(), hub.clock.clone());
        hub.ingest = Ingest::start(options(), vec![source], store, clock, Some(outbound));
        Self { hub, network }
    }

    fn will_answer(&self, answer: Result<(u16, &'static [u8]), SendError>) {
        self.network
            .answers
            .lock()
            .push_back(answer.map(|(status, body)| (status, Bytes::from_static(body))));
    }

    async fn send(&self, body: &str) -> Answer {
        self.hub
            .send(with(post("/in/source", body.to_owned()), "content-type", "text/plain; charset=UTF-8"))
            .await
    }
}

#[test]
fn a_certificate_is_fetched_once() {
    for_each_store(async |home| {
        let sns = Sns::start(home);
        sns.will_answer(Ok((200, CERTIFICATE)));
        let body = signed_notification();
        let answers = futures_util::future::join_all((0..4).map(|_| sns.send(&body))).await;
        assert!(
            answers.iter().all(|answer| answer.status == StatusCode::OK && answer.body == answers[0].body)
        );
        assert_eq!(*sns.network.asked.lock(), [CERTIFICATE_URL]);
        let [record] = &sns.hub.events().await[..] else { panic!("one event") };
        assert_eq!(record.event.event_type.as_str(), "sns.notification");
        assert_eq!(record.event.data.as_json(), Some(&*body));
    });
}

#[test]
fn what_cannot_be_fetched_is_sent_again() {
    for_each_store(async |home| {
        let sns = Sns::start(home);
        let body = signed_notification();
        sns.will_answer(Err(SendError::ConnectTimeout));
        let answer = sns.send(&body).await;
        answer.check_problem(503, "hub.busy");
        assert_eq!(answer.headers["retry-after"], "2");
        sns.will_answer(Ok((503, b"")));
        sns.send(&body).await.check_problem(503, "hub.busy");
        sns.will_answer(Ok((404, b"")));
        sns.send(&body).await.check_problem(401, "ingest.unauthorized");
        sns.will_answer(Ok((200, CERTIFICATE)));
        sns.send(&body).await.id_of_ok();
        assert_eq!(sns.hub.events().await.len(), 1);
        assert_eq!(sns.hub.ingest.stats().sources[0].failed, 2);
    });
}

impl Answer {
    fn id_of_ok(&self) -> String {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.text());
        self.json()["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn strangers_can_have_little_fetched_and_nothing_elsewhere() {
    for_each_store(async |home| {
        let sns = Sns::start(home);
        let naming = |url: &str| {
            let mut message: serde_json::Value = serde_json::from_str(&signed_notification()).unwrap();
            message["SigningCertURL"] = url.into();
            message.to_string()
        };
        for url in ["https://169.254.169.254/a.pem", "https://sns.eu-west-1.amazonaws.com.example.com/a.pem"]
        {
            sns.send(&naming(url)).await.check_problem(401, "ingest.unauthorized");
        }
        assert!(sns.network.asked.lock().is_empty());
        (0..20).for_each(|_| sns.will_answer(Ok((404, b""))));
        for n in 0..20 {
            let answer = sns.send(&naming(&format!("https://sns.eu-west-1.amazonaws.com/{n}.pem"))).await;
            assert!(matches!(answer.status.as_u16(), 401 | 503));
        }
        let n_asked = sns.network.asked.lock().len();
        assert!((1..20).contains(&n_asked), "{n_asked}");
        assert!(sns.hub.events().await.is_empty());
    });
}

#[test]
fn a_subscription_is_confirmed_before_it_is_answered() {
    for_each_store(async |home| {
        let sns = Sns::start(home);
        let url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=token";
        let body = signed(confirmation(url));
        sns.will_answer(Ok((200, CERTIFICATE)));
        sns.will_answer(Ok((500, b"")));
        sns.send(&body).await.check_problem(503, "hub.busy");
        sns.will_answer(Ok((200, b"<ConfirmSubscriptionResponse/>")));
        let answer = sns.send(&body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
        assert_eq!(*sns.network.asked.lock(), [CERTIFICATE_URL, url, url]);
        assert!(sns.hub.events().await.is_empty());
        assert_eq!(sns.hub.ingest.stats().sources[0].handshakes, 1);
    });
}

#[test]
fn without_a_way_out_nothing_is_believed() {
    for_each_store(async |home| {
        let hub = Hub::with_provider(home, settings());
        hub.send(post("/in/source", signed_notification())).await.check_problem(503, "hub.busy");
    });
}
