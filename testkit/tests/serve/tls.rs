//! TLS, with a certificate of the server's own making and with one that is given.

use kinesis_testkit::{Cloud, Tls};
use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::calls::both_services;
use crate::client::{clients, https};

#[tokio::test]
async fn the_sdk_trusts_the_servers_own_certificate() {
    let cloud = Cloud::new();
    cloud.create_stream("clicks", 1).await;
    let server = cloud.serve().tls(Tls::self_signed()).start().await.expect("a server");
    assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());
    both_services(&cloud, &https(&server)).await;
}

#[tokio::test]
async fn another_servers_certificate_is_not_trusted() {
    let cloud = Cloud::new();
    let one = cloud.serve().tls(Tls::self_signed()).start().await.expect("a server");
    let other = cloud.serve().bind(one.addr().ip().to_string() + ":0").tls(Tls::self_signed()).start().await;
    let other = other.expect("a server");
    assert_ne!(one.certificate_pem(), other.certificate_pem());
    let kinesis = https(&one).kinesis;
    let elsewhere = kinesis.config().to_builder().endpoint_url(other.url()).build();
    let refused = aws_sdk_kinesis::Client::from_conf(elsewhere).list_streams().send().await.expect_err("not trusted");
    assert!(format!("{refused:?}").contains("InvalidCertificate"), "{refused:?}");
    kinesis.list_streams().send().await.expect("streams");
}

#[tokio::test]
async fn a_given_certificate_is_shown() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let tls = Tls::pem(cert.pem(), signing_key.serialize_pem());
    assert_eq!(format!("{tls:?}"), "Tls::pem(..)");
    let server = Cloud::new().serve().tls(tls).start().await.expect("a server");
    assert_eq!(server.certificate_pem(), Some(cert.pem().as_str()));
    https(&server).kinesis.list_streams().send().await.expect("streams");
}

#[tokio::test]
async fn a_certificate_of_no_use_is_an_error() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let CertifiedKey { signing_key: other, .. } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = signing_key.serialize_pem();
    for (certificates, key) in
        [("", key.as_str()), (cert.pem().as_str(), "no key"), (&cert.pem(), &other.serialize_pem())]
    {
        let error = Cloud::new().serve().tls(Tls::pem(certificates, key)).start().await.expect_err("of no use");
        assert_eq!(error.to_string(), "no TLS with this certificate and key");
    }
}

/// One port serves clients that cannot do without TLS beside those that need none.
#[tokio::test]
async fn plain_http_is_answered_on_the_same_port() {
    let cloud = Cloud::new();
    let server = cloud.serve().tls(Tls::self_signed()).start().await.expect("a server");
    let plain = clients(format!("http://{}", server.addr()), aws_smithy_http_client::Builder::new().build_http());
    plain.kinesis.list_streams().send().await.expect("streams");
    https(&server).kinesis.list_streams().send().await.expect("streams");
}
