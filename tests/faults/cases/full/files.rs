//! An object store that is not there.

use reqwest::Method;

use crate::cases::scene::{Scene, seconds};
use crate::check::Rule;
use crate::client::{base, http};
use crate::cluster::Shape;
use crate::run::case;
use crate::workload::Plan;

#[test]
#[ignore = "a minute of real processes: make faults"]
fn x28_the_object_store_is_down_and_text_goes_on() {
    case("x28", async |run| {
        let shape = Shape { has_bucket: true, ..Shape::of(2, 1) };
        let mut scene = Scene::begin(run, &shape, &Plan::default()).await;
        scene.pass(seconds(2)).await;
        if upload(&scene).await != Some(201) {
            run.violated(Rule::Own, "nothing can be uploaded though the object store is there");
        }
        scene.cluster.weed.as_mut().expect("a bucket").kill().await;
        let from = scene.now();
        let told = upload(&scene).await;
        if told.is_some_and(|status| status < 500) {
            run.violated(Rule::Own, format!("an upload to nowhere is answered {told:?}"));
        }
        run.did(format!("an upload without the object store: {told:?}"));
        scene.pass(seconds(8)).await;
        let through = scene.now();
        for node in &scene.cluster.nodes {
            if !node.is_ready().await {
                run.violated(Rule::Own, format!("{} is not ready without it", node.name));
            }
        }
        scene.cluster.weed.as_mut().expect("a bucket").restart().await;
        let mut back = None;
        for _ in 0..30 {
            back = upload(&scene).await;
            if back == Some(201) {
                break;
            }
            scene.pass(seconds(1)).await;
        }
        if back != Some(201) {
            run.violated(Rule::Own, format!("it is back, and an upload is answered {back:?}"));
        }
        let history = scene.end(run).await;
        let inside = |sent: &&crate::history::Sent| {
            sent.invoked().is_some_and(|at| from <= at && at <= through)
                && matches!(sent.outcome(), crate::history::Outcome::Acked(..))
        };
        let meanwhile = history.sends.iter().filter(inside).count();
        run.did(format!("{meanwhile} acked meanwhile"));
        if meanwhile == 0 {
            run.violated(Rule::Own, "nothing was acked without the object store");
        }
    });
}

/// Uploads a small file: the status of the answer.
async fn upload(scene: &Scene) -> Option<u16> {
    let (owner, room) = (&scene.crew.owner, &scene.crew.rooms[0]);
    let path = format!("/chat-rooms/{room}/attachments");
    let part = reqwest::multipart::Part::bytes(b"some bytes".to_vec()).file_name("a.txt");
    let form = reqwest::multipart::Form::new().part("file", part);
    let url = format!("{}{path}", base(scene.cluster.first()));
    let request = http::client().request(Method::POST, url).bearer_auth(&owner.token);
    let answer = http::answer(request.multipart(form)).await?;
    Some(answer.status)
}
