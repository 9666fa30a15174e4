//! No template and no value makes it panic, hang or eat the memory.

use proptest::prelude::*;
use serde_json::json;

use super::{MAX_TEXT, Template, Value};
use rmachine_testkit::cases;

/// Pieces that templates are made of, well and badly put together.
const PIECES: &str = r#"{{ ~}}~{{- ~ -}}~{{/*~*/}}~ ~text~é~.~.A~.B.C~.A.B~$~$x~$x := ~$x = ~$i, $e := ~(~)~|~,~:=~"~`~'a'~"%d %s"~
"%[2]*.[1]*q"~"%#+-0 9.9v%x%U%e%T"~"a\n\xff\u00e9"~0~1~-1~1e300~0x1F~9223372036854775807~-9223372036854775808~1.5~nil~true~if ~else~
else if ~end~with ~range ~break~continue~define "t"~template "t" ~block "b" ~index ~slice ~len ~printf ~print ~eq ~lt ~and ~json ~
prettyjson ~truncate ~pad "#;
const LEAVES: &str = r#".~$~.A~.B~.A.B~$.C~1~-1~0~1.5~"a"~"é%d"~nil~true~'x'~30~$x"#;
const FUNCTIONS: &str = r#"and~or~not~eq~ne~lt~ge~index~slice~len~print~println~printf~html~js~urlquery~call~json~prettyjson~split~join~
lower~upper~title~pad~truncate~printf "%*.*q|%[1]v"~printf "%8.3v""#;
const FRAMES: &str = r#"if~with~range~range $k, $v :=~range $x :=~with $x :=~block "b""#;

/// Numbers that something is made of. They stand for the pieces, as in [`cases`]; when there are no more, all is 0.
struct Picks(std::vec::IntoIter<u32>);

impl Picks {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next().unwrap_or_default() as usize % bound
    }

    fn of(&mut self, list: &'static str) -> &'static str {
        let all: Vec<&str> = list.split('~').map(|piece| piece.trim_start_matches('\n')).collect();
        all[self.below(all.len())]
    }

    fn pieces(&mut self) -> String {
        (0..self.below(24)).map(|_| self.of(PIECES)).collect()
    }

    /// A pipeline that parses, mostly.
    fn pipeline(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 2 } else { 6 }) {
            0 | 1 => self.of(LEAVES).to_owned(),
            2 => format!("({} | {})", self.pipeline(depth - 1), self.pipeline(depth - 1)),
            3 => format!("({}).A", self.pipeline(depth - 1)),
            _ => {
                let function = self.of(FUNCTIONS);
                let arguments: Vec<String> = (0..self.below(4)).map(|_| self.pipeline(depth - 1)).collect();
                format!("({function} {})", arguments.join(" "))
            }
        }
    }

    /// A template that parses, mostly.
    fn template(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 3 } else { 6 }) {
            0 => " x ".to_owned(),
            1 | 2 => format!("{{{{{}}}}}", self.pipeline(3)),
            3 => format!("{{{{$x := {}}}}}{}", self.pipeline(2), self.template(depth - 1)),
            _ => {
                let (frame, pipe, body) = (self.of(FRAMES), self.pipeline(2), self.template(depth - 1));
                let otherwise = match frame {
                    "block \"b\"" => "{{end}}{{template \"b\" .}}".to_owned(),
                    _ => format!("{{{{else}}}}{}{{{{end}}}}", self.template(depth - 1)),
                };
                format!("{{{{{frame} {pipe}}}}}{body}{otherwise}{}", self.template(depth - 1))
            }
        }
    }

    fn value(&mut self, depth: usize) -> serde_json::Value {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => json!(null),
            1 => json!(self.below(2) == 1),
            2 => json!(self.below(usize::MAX)),
            3 => json!(f64::from_bits(u64::from(self.0.next().unwrap_or_default()) << 32)),
            4 => json!(self.of(PIECES)),
            5 => json!("a b"),
            6 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => (0..4).map(|_| (self.of("A~B~C~D").to_owned(), self.value(depth - 1))).collect(),
        }
    }
}

fn made<T: std::fmt::Debug>(make: fn(&mut Picks) -> T) -> impl Strategy<Value = T> {
    prop::collection::vec(any::<u32>(), 0..80).prop_map(move |picks| make(&mut Picks(picks.into_iter())))
}

/// Executes `source`; what it answers has its limits.
fn run(source: &str, data: &Value) -> Result<String, String> {
    let answer = Template::parse(source).and_then(|template| template.execute(data));
    if let Ok(output) = &answer {
        assert!(output.text.len() <= 2 * MAX_TEXT + source.len(), "{source:?} makes {} bytes", output.text.len());
    }
    answer.map(|output| output.text).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(cases::config(1))]

    #[test]
    fn no_text_makes_it_panic(text in cases::text(), pieces in made(Picks::pieces), data in made(|p| p.value(3))) {
        let data = data.into();
        for source in [&text, &pieces, &format!("{{{{{text}}}}}")] {
            prop_assert!(run(source, &data).err().is_none_or(|error| error.starts_with("template: :")));
        }
    }

    #[test]
    fn no_template_makes_it_panic(source in made(|p| p.template(3)), data in made(|p| p.value(3))) {
        prop_assert!(run(&source, &data.into()).err().is_none_or(|error| error.starts_with("template: :")));
    }

    #[test]
    fn no_format_of_printf_makes_it_panic(format in cases::of("%%%%vdsqxXtfegbcoUTw+-# 0123456789.*[]é", 0..16)) {
        let data = Value::from(json!({ "A": ["a", null, 1.5, true, { "B": "é" }], "N": -0.5 }));
        let answer = run(&format!("{{{{printf {format:?} .A .N 7 \"é\" nil}}}}"), &data);
        prop_assert!(answer.is_ok() || answer.is_err_and(|error| error.contains("more than")));
    }

    #[test]
    fn text_without_actions_stays_as_it_is(text in cases::text().prop_map(|text| text.replace('{', "}"))) {
        prop_assert_eq!(run(&text, &Value::Null), Ok(text));
    }

    #[test]
    fn a_string_comes_through_json_and_quotes(text in cases::text()) {
        let data = Value::from(json!({ "A": text }));
        let encoded = run("{{json .A}}", &data).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&encoded).unwrap(), text.as_str());
        let quoted = run("{{printf \"%q\" .A}}", &data).unwrap();
        prop_assert_eq!(run(&format!("{{{{{quoted}}}}}"), &Value::Null), Ok(text));
    }

    #[test]
    fn numbers_come_through_json_and_print(number in any::<f64>()) {
        let data = Value::from(json!({ "A": number }));
        for template in ["{{json .A}}", "{{.A}}", "{{printf \"%.17g\" .A}}", "{{printf \"%.800e\" .A}}", "{{printf \"%.1100f\" .A}}"] {
            let text = run(template, &data).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap(), number, "{}", text);
        }
    }
}

#[test]
fn most_templates_that_are_made_here_execute() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut executes = || {
        let made = (made(|p| p.template(3)), made(|p| p.value(3)));
        let (source, data) = made.new_tree(&mut runner).unwrap().current();
        run(&source, &data.into()).is_ok()
    };
    let executed = (0..1000).filter(|_| executes()).count();
    assert!(executed > 200, "{executed} of 1000");
}

/// What is nested, repeated or doubled without end is refused, on a small stack too.
#[test]
fn what_has_no_end_is_refused() {
    let many = 100_000;
    let cases = [
        (format!("{{{{{}1{}}}}}", "(".repeat(many), ")".repeat(many)), "nested more than"),
        (format!("{}x{}", "{{if 1}}".repeat(many), "{{end}}".repeat(many)), "nested more than"),
        (format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}".repeat(many)), "nested more than"),
        (format!("{}{}", "{{block \"a\" 1}}".repeat(many), "{{end}}".repeat(many)), "nested more than"),
        ("{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}".to_owned(), "maximum template depth"),
        ("{{template \"\"}}".to_owned(), "maximum template depth"),
        ("{{range 9223372036854775807}}{{end}}".to_owned(), "steps"),
        ("{{range 9223372036854775807}}0123456789{{end}}".to_owned(), "output has more than"),
        ("{{range 9223372036854775807}}{{range 9223372036854775807}}{{break}}{{end}}{{end}}".to_owned(), "steps"),
        ("{{$x := \"0123456789\"}}{{range 99}}{{$x = print $x $x $x}}{{end}}".to_owned(), "a text has more than"),
        ("{{$x := \"<<<<<<<<<<\"}}{{range 99}}{{$x = json $x}}{{end}}".to_owned(), "a text has more than"),
        (format!("{{{{printf {:?}{}}}}}", "%1000000d".repeat(9), " 1".repeat(9)), "text has more than"),
        ("{{printf \"%1000000v\" (split (printf \"%9999d\" 1) \"\")}}".to_owned(), "text has more than"),
        ("{{printf \"%1000001d\" 1}}".to_owned(), "width or precision"),
        ("{{pad \"a\" 9223372036854775807 9223372036854775807}}".to_owned(), "a text has more than"),
        ("{{join (split (printf \"%9999d\" 1) \"\") (printf \"%9999d\" 1)}}".to_owned(), "a text has more than"),
    ];
    for (source, expected) in cases {
        let error = run(&source, &Value::Null).unwrap_err();
        let shown: String = source.chars().take(60).collect();
        assert!(error.contains(expected), "{shown}: {error}");
    }
    // As deep as it may be.
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(190), ")".repeat(190));
    assert_eq!(run(&deep, &Value::Null), Ok("1".to_owned()));
    let fields = format!("{{{{{}}}}}", ".a".repeat(many));
    assert_eq!(run(&fields, &json!({}).into()), Ok("<no value>".to_owned()));
}
