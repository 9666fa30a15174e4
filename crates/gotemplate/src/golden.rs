//! The answers of Go itself.

use serde_json::Value as Json;

use super::{Template, value::Value};

#[test]
fn templates_are_answered_as_by_go() {
    // Written by golden.go beside it, which ran once where Go was at hand.
    let golden: Json = serde_json::from_str(include_str!("../golden/golden.json")).unwrap();
    let data = Value::from(golden["Data"].clone());
    let (mut wrong, mut count, mut same_words) = (Vec::new(), 0, 0);
    for case in golden["Cases"].as_array().unwrap() {
        let [source, fate, expected] = [0, 1, 2].map(|i| case[i].as_str().unwrap());
        let answer = Template::parse(source).and_then(|template| template.execute(&data));
        count += 1;
        match (fate, answer) {
            ("ok", Ok(output)) if output.text == expected => {}
            ("error", Err(error)) => same_words += usize::from(error.to_string() == expected),
            (_, answer) => {
                let answer = answer.map(|output| output.text);
                wrong.push(format!("{source:?}\n  Go:   {fate} {expected:?}\n  here: {answer:?}"));
            }
        }
    }
    assert!(count > 700, "{count} cases");
    // The others say the same in other words, or of a place a little beside.
    assert!(same_words >= 180, "{same_words} errors are word for word those of Go");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
