//! Clients that keep different policies share nothing that one of them may not have.

use super::*;

#[tokio::test]
async fn a_connection_is_not_for_the_client_of_another_policy() {
    let server = Server::start(|stream| answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let names = Script::new([&["127.0.0.1"], &["127.0.0.1"], &["127.0.0.1"]]);
    let shut = HttpClient::with_resolver(&ClientConfig::default(), EgressPolicy::default(), names).unwrap();
    let open =
        shut.with_policy(shut.policy().clone().with_allowed(&["127.0.0.0/8".parse().unwrap()])).unwrap();
    let request = post(&format!("http://inside.test:{}/", server.address.port()));
    assert_eq!(open.send(request.clone()).await.unwrap().status, 200);
    settle().await;
    // Its connection is idle now, under the very name that is asked for.
    assert!(open.send(request.clone()).await.unwrap().opened.is_none());
    settle().await;
    assert_eq!(shut.send(request.clone()).await.unwrap_err().class(), FailureClass::Blocked);
    assert_eq!(shut.vet(&request.target).await.unwrap_err().class(), FailureClass::Blocked);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn neither_is_a_client_with_tls_of_its_own() {
    let shut = HttpClient::new(&ClientConfig::default(), EgressPolicy::default().with_https_only()).unwrap();
    let open =
        shut.with_policy(shut.policy().clone().with_allowed(&["127.0.0.0/8".parse().unwrap()])).unwrap();
    assert!(open.policy().is_https_only(), "what is not opened stays");
    let authorities = Authorities::from_pem(include_str!("../fixtures/authority.pem"));
    let tls = OwnTls { identity: None, authorities };
    let (of_open, of_shut) = (open.with_tls(&tls).unwrap(), shut.with_tls(&tls).unwrap());
    assert!(!Arc::ptr_eq(&of_open, &of_shut));
    let inside = "127.0.0.1".parse().unwrap();
    assert!(of_open.policy().check(inside).is_ok() && of_shut.policy().check(inside).is_err());
}
