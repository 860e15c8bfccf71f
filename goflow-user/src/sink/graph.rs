//! The wait-for graph for a person or a program: as DOT, as Mermaid, or as JSON.
//!
//! In: a process as the model has it, who waits for whom in it, and what names its addresses. Out: bytes. Nodes are goroutines that
//! wait and what they wait for; edges lead from who waits to what is waited for, and from there to who could end that. What lies
//! in a circle is marked.

use super::findings::{Namer, Place};
use super::json::Hex;
use super::words;
use crate::detect::Survey;
use crate::model::{Goroutine, Object, Process, State};
use crate::target::id::Goid;
use crate::target::snapshot::Direction;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// The graph with its names.
#[derive(Debug, Default)]
pub struct WaitFor {
    goroutines: BTreeMap<Goid, Node>,
    objects: BTreeMap<Object, String>,
    edges: BTreeSet<Edge>,
    /// Goroutines that are in a circle, and the objects between them.
    circle: (BTreeSet<Goid>, BTreeSet<Object>),
}

#[derive(Debug)]
struct Node {
    reason: Option<String>,
    at: Option<Place>,
    created: Option<Place>,
    is_unreachable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Waits(Goid, Object, Option<Direction>),
    Holds(Object, Goid),
    Serves(Object, Goid),
}

impl WaitFor {
    /// Of the goroutines of a process that wait for each other; the runtime's own are left out, and with `all` those that wait for
    /// something that nobody else has to do with are not.
    #[must_use]
    pub fn of(process: &Process, namer: &Namer<'_>, all: bool) -> Self {
        let graph = Survey::of(process).graph;
        let mut found = Self::default();
        let is_user = |one: &&Goroutine| one.state == State::Waiting && one.system == Some(false);
        let mut users: BTreeMap<Object, usize> = BTreeMap::new();
        for blocked in
            process.goroutines().filter(is_user).filter_map(|one| one.wait.as_ref()).flat_map(|wait| &wait.on)
        {
            if let Some(object) = Object::of(blocked) {
                *users.entry(object).or_default() += 1;
            }
        }
        for goroutine in process.goroutines().filter(is_user) {
            let Some(wait) = goroutine.wait.as_deref() else { continue };
            for blocked in &wait.on {
                let Some(object) = Object::of(blocked) else { continue };
                let of_object = graph.links(goroutine.goid).filter(|link| link.object == object);
                let is_shared = users.get(&object).is_some_and(|count| *count > 1);
                if !all && !is_shared && wait.unreachable.is_none() && of_object.clone().next().is_none() {
                    continue;
                }
                found.edges.insert(Edge::Waits(goroutine.goid, object, blocked.direction));
                found.objects.insert(object, namer.object(object));
                for link in of_object {
                    let edge = if link.hold.is_some() { Edge::Holds } else { Edge::Serves };
                    found.edges.insert(edge(object, link.to));
                }
            }
        }
        for cycle in graph.cycles() {
            for (goid, link) in cycle {
                found.circle.0.insert(goid);
                found.circle.1.insert(link.object);
            }
        }
        let goids: BTreeSet<Goid> = found.edges.iter().map(|edge| edge.goid()).collect();
        for goroutine in goids.into_iter().filter_map(|goid| process.goroutine(goid)) {
            let named = namer.goroutine(goroutine);
            let node = Node {
                reason: named.wait_reason,
                at: named.place,
                created: named.created,
                is_unreachable: goroutine.wait.as_ref().is_some_and(|wait| wait.unreachable.is_some()),
            };
            found.goroutines.insert(goroutine.goid, node);
        }
        found
    }

    /// Nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.goroutines.is_empty()
    }

    fn is_circular(&self, edge: Edge) -> bool {
        self.circle.0.contains(&edge.goid()) && self.circle.1.contains(&edge.object())
    }

    /// Writes it as DOT, for Graphviz.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn dot(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "digraph goflow {{\n  rankdir=LR;\n  node [fontname=\"monospace\"];")?;
        for (goid, node) in &self.goroutines {
            let colour = if self.circle.0.contains(goid) { ", color=red, penwidth=2" } else { "" };
            writeln!(
                out,
                "  g{} [shape=box{colour}, label=\"{}\"];",
                goid.0,
                quoted(&node.label(*goid), "\\n")
            )?;
        }
        for (object, name) in &self.objects {
            let colour = if self.circle.1.contains(object) { ", color=red, penwidth=2" } else { "" };
            writeln!(out, "  {} [shape=ellipse{colour}, label=\"{}\"];", id(*object), quoted(name, "\\n"))?;
        }
        for &edge in &self.edges {
            let colour = if self.is_circular(edge) { ", color=red, penwidth=2" } else { "" };
            let (from, to, label) = edge.ends();
            writeln!(out, "  {from} -> {to} [label=\"{label}\"{colour}];")?;
        }
        writeln!(out, "}}")
    }

    /// Writes it as a Mermaid flow chart.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn mermaid(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "flowchart LR")?;
        for (goid, node) in &self.goroutines {
            writeln!(out, "  g{}[\"{}\"]", goid.0, quoted(&node.label(*goid), "<br>"))?;
        }
        for (object, name) in &self.objects {
            writeln!(out, "  {}([\"{}\"])", id(*object), quoted(name, "<br>"))?;
        }
        for edge in &self.edges {
            let (from, to, label) = edge.ends();
            writeln!(out, "  {from} -->|{label}| {to}")?;
        }
        let goroutines = self.circle.0.iter().map(|goid| format!("g{}", goid.0));
        let marked: Vec<String> = goroutines.chain(self.circle.1.iter().map(|object| id(*object))).collect();
        if !marked.is_empty() {
            writeln!(
                out,
                "  classDef circle stroke:red,stroke-width:3px\n  class {} circle",
                marked.join(",")
            )?;
        }
        Ok(())
    }

    /// Writes it as one JSON object.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let place = |place: &Option<Place>| {
            place.as_ref().map(|place| PlaceObject {
                function: place.function.clone(),
                file: place.file.clone(),
                line: place.line,
            })
        };
        let document = Document {
            schema: 1,
            goroutines: self
                .goroutines
                .iter()
                .map(|(goid, node)| GoroutineObject {
                    id: format!("g{}", goid.0),
                    goid: goid.0,
                    wait_reason: node.reason.clone(),
                    at: place(&node.at),
                    created_at: place(&node.created),
                    unreachable: node.is_unreachable,
                    circle: self.circle.0.contains(goid),
                })
                .collect(),
            objects: self
                .objects
                .keys()
                .map(|object| {
                    let (kind, address) = parts(*object);
                    ObjectObject {
                        id: id(*object),
                        kind,
                        address: Hex(address),
                        circle: self.circle.1.contains(object),
                    }
                })
                .collect(),
            edges: self
                .edges
                .iter()
                .map(|&edge| {
                    let (from, to, label) = edge.ends();
                    EdgeObject { from, to, kind: edge.kind(), label, circle: self.is_circular(edge) }
                })
                .collect(),
        };
        serde_json::to_writer(&mut *out, &document)?;
        writeln!(out)
    }
}

impl Node {
    fn label(&self, goid: Goid) -> String {
        let mut label = format!("goroutine {}", goid.0);
        if let Some(reason) = &self.reason {
            label.push_str(&format!(" [{reason}]"));
        }
        if let Some(at) = &self.at {
            label.push('\n');
            label.push_str(&at.function);
            if let (Some(file), Some(line)) = (&at.file, at.line) {
                let name = file.rsplit('/').next().unwrap_or(file);
                label.push_str(&format!("\n{name}:{line}"));
            }
        }
        label
    }
}

impl Edge {
    fn goid(self) -> Goid {
        match self {
            Self::Waits(goid, ..) | Self::Holds(_, goid) | Self::Serves(_, goid) => goid,
        }
    }

    fn object(self) -> Object {
        match self {
            Self::Waits(_, object, _) | Self::Holds(object, _) | Self::Serves(object, _) => object,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Waits(..) => "waits",
            Self::Holds(..) => "held_by",
            Self::Serves(..) => "needs",
        }
    }

    /// Ids of the nodes, and what the arrow says.
    fn ends(self) -> (String, String, String) {
        match self {
            Self::Waits(goid, object, direction) => {
                let label = direction.map_or("waits".to_owned(), |direction| {
                    format!("waits to {}", words::direction(direction))
                });
                (format!("g{}", goid.0), id(object), label)
            }
            Self::Holds(object, goid) => (id(object), format!("g{}", goid.0), "held by".to_owned()),
            Self::Serves(object, goid) => (id(object), format!("g{}", goid.0), "only".to_owned()),
        }
    }
}

fn parts(object: Object) -> (&'static str, u64) {
    match object {
        Object::Channel(address) => ("channel", address.0),
        Object::Sync(kind, address) => (words::primitive(kind), address.0),
    }
}

fn id(object: Object) -> String {
    let (kind, address) = parts(object);
    format!("{kind}_{address:x}")
}

/// Text between quotation marks, with `newline` for the ends of its lines.
fn quoted(text: &str, newline: &str) -> String {
    let printable = |line: &str| super::printable::printable(line).replace('\\', "\\\\").replace('"', "'");
    text.lines().map(printable).collect::<Vec<_>>().join(newline)
}

#[derive(serde::Serialize)]
struct Document {
    schema: u32,
    goroutines: Vec<GoroutineObject>,
    objects: Vec<ObjectObject>,
    edges: Vec<EdgeObject>,
}

#[derive(serde::Serialize)]
struct GoroutineObject {
    id: String,
    goid: u64,
    wait_reason: Option<String>,
    at: Option<PlaceObject>,
    created_at: Option<PlaceObject>,
    unreachable: bool,
    circle: bool,
}

#[derive(serde::Serialize)]
struct PlaceObject {
    function: String,
    file: Option<String>,
    line: Option<u32>,
}

#[derive(serde::Serialize)]
struct ObjectObject {
    id: String,
    kind: &'static str,
    address: Hex,
    circle: bool,
}

#[derive(serde::Serialize)]
struct EdgeObject {
    from: String,
    to: String,
    kind: &'static str,
    label: String,
    circle: bool,
}
