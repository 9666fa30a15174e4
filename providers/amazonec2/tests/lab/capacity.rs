//! Where there is no room or quota: the next of the lists is taken, and that is said.

use super::*;

#[tokio::test]
async fn zones_types_and_markets_are_tried_in_their_order() {
    let _one = ONE.lock().await;
    let lists = [
        ("amazonec2-region", "us-east-1"),
        ("amazonec2-zone", "b,a"),
        ("amazonec2-instance-type", "t3.micro,t3.small"),
        ("amazonec2-market", "spot,on-demand"),
    ];
    let ec2 = connect(&lists, 5, Arc::new(Silent), false).await;
    let plan = ec2.provider.preflight(&ec2.spec("lists"), &Cx::silent()).await.unwrap();
    assert_eq!((&plan.resolved["zone"], &plan.resolved["instance_type"]), (&json!("us-east-1b"), &json!("t3.micro")));
    assert!(plan.resolved["spot"].is_object());
    let labels: Vec<&str> = plan.alternatives.iter().map(|other| other.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "t3.micro (spot) in us-east-1a",
            "t3.small (spot) in us-east-1b",
            "t3.small (spot) in us-east-1a",
            "t3.micro (on-demand) in us-east-1b",
            "t3.micro (on-demand) in us-east-1a",
            "t3.small (on-demand) in us-east-1b",
            "t3.small (on-demand) in us-east-1a",
        ]
    );
    assert!(plan.alternatives[3].changes["spot"].is_null());
    // Nothing named: any zone will do, one after the other.
    let any = connect(&[("amazonec2-region", "us-east-1")], 5, Arc::new(Silent), false).await;
    assert!(any.provider.preflight(&any.spec("any"), &Cx::silent()).await.unwrap().alternatives.len() >= 2);
    // One zone, one type: EC2 says whether they fit.
    let one = connect(&[("amazonec2-region", "us-east-1"), ("amazonec2-zone", "c")], 5, Arc::new(Silent), false).await;
    assert!(one.provider.preflight(&one.spec("one"), &Cx::silent()).await.unwrap().alternatives.is_empty());
}

#[tokio::test]
async fn an_instance_that_ends_for_want_of_room_says_so() {
    let _one = ONE.lock().await;
    let before = resources();
    let ec2 = plain().await;
    let request = ec2.request("late").await;
    let fault = json!({
        "action": "@launch", "error": "Server.InsufficientInstanceCapacity",
        "message": "Server.InsufficientInstanceCapacity: Insufficient capacity to satisfy instance request"
    });
    let faults = Faults::script(&fault);
    let error = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    drop(faults);
    assert_eq!((error.kind(), error.retryable()), (Kind::Capacity, Retry::Elsewhere), "{error:?}");
    assert!(matches!(error.left_behind(), LeftBehind::Present(_)), "{error:?}");
    ec2.provider.destroy(&machine_ref(&request, None), &Cx::silent()).await.unwrap();
    assert_eq!(resources(), before);
}

#[tokio::test]
async fn a_quota_of_one_market_may_leave_room_in_another() {
    let _one = ONE.lock().await;
    let ec2 = plain().await;
    let request = ec2.request("quota").await;
    let _faults = Faults::script(&json!({ "action": "RunInstances", "error": "VcpuLimitExceeded", "status": 400 }));
    let error = ec2.provider.create(&request, &Cx::silent().journal(&Recorder::default())).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable()), (Kind::Quota, Retry::Elsewhere), "{error:?}");
    ec2.provider.destroy(&machine_ref(&request, None), &Cx::silent()).await.unwrap();
}
