//! The table of `status`: one row a cluster, service-wide words in its first row, columns that don't fit left out.

use super::notes::notes;
use crate::model::{
    route::Mode,
    view::{ClusterView, Health, Role, ServiceView, Standing},
};
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};

/// The width where nobody says another.
const WIDTH: usize = 80;
/// Blanks between columns.
const GAP: usize = 2;

/// A column: its head, and how soon it is left out (0: never).
struct Column {
    head: &'static str,
    leaves: u8,
}

const COLUMNS: [Column; 9] = [
    Column { head: "Service", leaves: 0 },
    Column { head: "Cluster", leaves: 0 },
    Column { head: "Site", leaves: 1 },
    Column { head: "Role", leaves: 0 },
    Column { head: "Health", leaves: 0 },
    Column { head: "Lag", leaves: 4 },
    Column { head: "Connections", leaves: 2 },
    Column { head: "Ready", leaves: 5 },
    Column { head: "Note", leaves: 3 },
];
/// Where the note stands in [`COLUMNS`].
const NOTE: usize = 8;

/// The terminal's width, or 80.
pub(super) fn width() -> usize {
    Table::new().width().map_or(WIDTH, usize::from)
}

/// The table, at most `width` wide as long as names allow it. Notes that don't fit stand below it, and what else is to be said.
pub(super) fn render(views: &[ServiceView], width: usize, color: bool) -> String {
    let rows: Vec<[String; 9]> = views.iter().flat_map(rows).collect();
    let kept = fitting(&rows, width);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(kept.iter().map(|index| COLUMNS[*index].head));
    for row in &rows {
        table.add_row(kept.iter().map(|index| paint(&row[*index])));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, u16::try_from(GAP).unwrap_or(2)));
    }
    let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    if !kept.contains(&NOTE) {
        for row in rows.iter().filter(|row| !row[NOTE].is_empty()) {
            text += format!("{} {}: {}\n", row[0], row[1], row[NOTE]).trim_start();
        }
    }
    for line in notes(views) {
        text += &line;
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// Which columns are shown.
fn fitting(rows: &[[String; 9]], width: usize) -> Vec<usize> {
    let wide = |index: usize| {
        let cells = rows.iter().map(|row| row[index].chars().count());
        cells.chain([COLUMNS[index].head.len()]).max().unwrap_or(0) + GAP
    };
    let mut kept: Vec<usize> = (0..COLUMNS.len()).collect();
    for leaves in 1..=5 {
        // The last column's gap is trimmed.
        if kept.iter().map(|index| wide(*index)).sum::<usize>() <= width + GAP {
            break;
        }
        kept.retain(|index| COLUMNS[*index].leaves != leaves);
    }
    kept
}

fn rows(view: &ServiceView) -> Vec<[String; 9]> {
    view.clusters.iter().enumerate().map(|(index, cluster)| row(view, cluster, index == 0)).collect()
}

fn row(view: &ServiceView, cluster: &ClusterView, first: bool) -> [String; 9] {
    let of_service = |text: String| if first { text } else { String::new() };
    let lag = match (cluster.role, cluster.lag_seconds) {
        (Role::Primary, _) | (_, None) => "-".to_owned(),
        (_, Some(lag)) => format!("{lag:.1} s"),
    };
    let mut notes: Vec<String> = if first { service_notes(view) } else { Vec::new() };
    notes.extend(reads(view, cluster));
    for node in cluster.nodes.iter().filter(|node| !node.note.is_empty()) {
        // The service's own words may have said it already.
        if !notes.iter().any(|note| note.contains(&node.note)) {
            notes.push(node.note.clone());
        }
    }
    [
        of_service(view.name.to_string()),
        cluster.name.to_string(),
        cluster.site.clone(),
        cluster.role.as_str().to_owned(),
        cluster.health.as_str().to_owned(),
        lag,
        of_service(view.connections.client.to_string()),
        of_service(ready(view)),
        notes.join("; "),
    ]
}

/// `yes`, or `no:` and the guards.
fn ready(view: &ServiceView) -> String {
    if view.switchover_ready.ready {
        return "yes".to_owned();
    }
    let mut names: Vec<&str> = Vec::new();
    for refusal in &view.switchover_ready.reasons {
        if !names.contains(&refusal.name.as_str()) {
            names.push(refusal.name.as_str());
        }
    }
    if names.is_empty() { "no".to_owned() } else { format!("no: {}", names.join(", ")) }
}

/// That the read port leads to this cluster; to which of its nodes, where there are several.
fn reads(view: &ServiceView, cluster: &ClusterView) -> Option<String> {
    let route = view.read_route.as_ref().filter(|route| route.cluster == cluster.name)?;
    Some(if cluster.nodes.len() > 1 { format!("reads at {}", route.node) } else { "reads".to_owned() })
}

fn service_notes(view: &ServiceView) -> Vec<String> {
    let mut notes = Vec::new();
    if view.state != Standing::Steady {
        notes.push(view.state.as_str().to_owned());
    }
    if view.mode != Mode::Open && view.mode.as_str() != view.state.as_str() {
        notes.push(format!("mode {}", view.mode.as_str()));
    }
    if !view.note.is_empty() {
        notes.push(view.note.clone());
    }
    if notes.is_empty()
        && let Some(refusal) = view.switchover_ready.reasons.first()
    {
        notes.push(refusal.detail.clone());
    }
    notes
}

/// Words that want attention stand out; the word itself says the same without colour.
fn paint(text: &str) -> Cell {
    let cell = Cell::new(text);
    match text {
        _ if text == Health::Down.as_str() || text == Role::Fenced.as_str() => cell.fg(Color::Red),
        _ if text == Health::Suspect.as_str() || text.starts_with("no") => cell.fg(Color::Yellow),
        _ if text == Role::Primary.as_str() => cell.fg(Color::Green),
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        guard::{Guard, Refusal},
        name::Kind,
        route::Epoch,
        view::{Connections, NodeView, Readiness, RouteView},
    };

    fn cluster(name: &str, role: Role) -> ClusterView {
        ClusterView {
            name: name.into(),
            site: "east".into(),
            role,
            health: Health::Up,
            lag_seconds: Some(0.2),
            delay_seconds: None,
            distance: None,
            drained: false,
            nodes: vec![],
        }
    }

    fn node(address: &str) -> NodeView {
        NodeView {
            address: address.into(),
            health: Health::Up,
            role: Role::Standby,
            version: String::new(),
            note: String::new(),
            lag_seconds: None,
            probe_seconds: None,
        }
    }

    fn cart(note: &str) -> ServiceView {
        ServiceView {
            mode: Mode::Open,
            epoch: Epoch(7),
            state: Standing::Steady,
            note: note.into(),
            switchover_ready: Readiness { ready: true, ..Readiness::default() },
            clusters: vec![cluster("main", Role::Primary), cluster("spare", Role::Standby)],
            connections: Connections { client: 50, ..Connections::default() },
            ..ServiceView::unknown("cart".into(), Kind::Redis)
        }
    }

    #[test]
    fn what_the_service_says_of_a_node_is_said_once() {
        let mut view = cart("10.0.0.1:6379 refuses connections");
        view.clusters[0].nodes = vec![node("10.0.0.1:6379")];
        view.clusters[0].nodes[0].note = "refuses connections".into();
        assert_eq!(row(&view, &view.clusters[0], true)[NOTE], "10.0.0.1:6379 refuses connections");
        view.clusters[0].nodes[0].note = "hangs".into();
        assert_eq!(row(&view, &view.clusters[0], true)[NOTE], "10.0.0.1:6379 refuses connections; hangs");
    }

    #[test]
    fn one_row_a_cluster_and_service_words_once() {
        let text = render(&[cart("")], 80, false);
        let expected = "\
Service  Cluster  Site  Role     Health  Lag    Connections  Ready  Note
cart     main     east  primary  up      -      50           yes
         spare    east  standby  up      0.2 s";
        assert_eq!(text, expected);
    }

    #[test]
    fn where_reads_go_is_said_in_that_clusters_row() {
        let mut view = cart("");
        view.read_route = Some(RouteView { cluster: "spare".into(), node: "10.0.1.5:6379".into(), since: None });
        let text = render(&[view.clone()], 80, false);
        assert!(text.ends_with("         spare    east  standby  up      0.2 s                      reads"), "{text}");
        view.clusters[1].nodes = ["10.0.1.4:6379", "10.0.1.5:6379"].map(node).into();
        assert!(render(&[view], 120, false).ends_with("reads at 10.0.1.5:6379"));
    }

    #[test]
    fn it_fits_and_says_what_it_left_out() {
        let note = "the standby's link to its primary is down since 12 s, and its disk is full";
        for width in [40, 60, 80, 120] {
            let text = render(&[cart(note)], width, false);
            let table: Vec<_> = text.lines().filter(|line| !line.contains(note)).collect();
            assert!(table.iter().all(|line| line.chars().count() <= width), "{width}\n{text}");
            assert!(text.contains(note), "{width}\n{text}");
        }
        let text = render(&[cart(note)], 80, false);
        assert!(text.lines().next().is_some_and(|head| head.contains("Ready") && !head.contains("Note")), "{text}");
    }

    #[test]
    fn unready_names_its_guards() {
        let mut view = cart("");
        let reasons = vec![Refusal::new(Guard::Lag, "spare is 12 s behind")];
        view.switchover_ready = Readiness { ready: false, to: Some("spare".into()), reasons };
        let text = render(&[view], 200, false);
        assert!(text.contains("no: lag") && text.contains("spare is 12 s behind"), "{text}");
    }
}
