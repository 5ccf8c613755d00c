//! One TCP segment in every wrapping that is read: given these bytes around it, this is the segment.

mod common;

use common::files::Frame;
use common::packets::{ACK, PSH, Talk, Tcp};
use common::replay::Spine;
use flowdump::capture::{LinkType, Packet};
use flowdump::decode::{DecodeOptions, Decoder, Scope, Unread};
use flowdump::time::Timestamp;

const TEXT: &[u8] = b"HELO wrapped.example\r\n";

fn tcp() -> Tcp {
    let mut talk = Talk::default();
    talk.send(0, PSH | ACK, TEXT);
    talk.segments.remove(0)
}

fn ipv4() -> Vec<u8> {
    tcp().ip(None)
}

fn tcp6() -> Tcp {
    let mut tcp = tcp();
    tcp.source = "[2001:db8::1]:40000".parse().expect("an address");
    tcp.destination = "[2001:db8::2]:25".parse().expect("an address");
    tcp
}

fn ipv6() -> Vec<u8> {
    tcp6().ip(None)
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// An IPv4 packet of another protocol.
fn ip_with(protocol: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + content.len())
        .expect("a small packet")
        .to_be_bytes();
    join(&[
        &[0x45, 0],
        &length,
        &[0, 7, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2],
        content,
    ])
}

fn udp(source: u16, destination: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + content.len())
        .expect("a small packet")
        .to_be_bytes();
    let datagram = join(&[
        &source.to_be_bytes(),
        &destination.to_be_bytes(),
        &length,
        &[0, 0],
        content,
    ]);
    ip_with(17, &datagram)
}

const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

fn ethernet(kind: u16, content: &[u8]) -> Vec<u8> {
    join(&[&MACS, &kind.to_be_bytes(), content])
}

/// An 802.3 frame: a length instead of a type.
fn ieee8023(content: &[u8]) -> Vec<u8> {
    ethernet(u16::try_from(content.len()).expect("a small frame"), content)
}

fn packet(link_type: u32, captured: &[u8]) -> Packet<'_> {
    Packet {
        time: Timestamp::from_nanos(1),
        link_type: LinkType(link_type),
        interface: 0,
        captured,
        wire_len: u32::try_from(captured.len()).expect("a small packet"),
    }
}

/// What decode reads: the payload and the scope.
fn read(link_type: u32, bytes: &[u8]) -> Result<(Vec<u8>, Scope), Vec<Unread>> {
    let mut decoder = Decoder::new(DecodeOptions::default());
    match decoder.decode(&packet(link_type, bytes)) {
        Some(segment) => {
            assert_eq!((segment.source.port, segment.destination.port), (40000, 25));
            Ok((segment.payload.to_vec(), segment.scope))
        }
        None => Err(decoder.unread().iter().map(|(reason, _)| reason).collect()),
    }
}

const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0];

#[test]
fn every_link_layer() {
    let wifi = join(&[&[0x08, 0x01, 0, 0], &[1; 6], &[2; 6], &[3; 6], &[0, 0]]);
    let wifi_qos = join(&[&[0x88, 0x02, 0, 0], &[1; 6], &[2; 6], &[3; 6], &[0, 0, 5, 0]]);
    let radiotap = [0, 0, 10, 0, 0, 0, 0, 0, 0, 0];
    let padded = join(&[&[0, 0, 17, 0, 3, 0, 0, 0], &[9; 8], &[0x20], &wifi_qos, &[0, 0]]);
    let padded_2 = join(&[
        &[0, 0, 13, 0, 2, 0, 0, 0x80, 0, 0, 0, 0, 0x20],
        &wifi_qos,
        &[0, 0],
    ]);
    let (v4, v6) = (ipv4(), ipv6());
    let cases: &[(&str, u32, Vec<u8>)] = &[
        ("Ethernet", 1, ethernet(0x0800, &v4)),
        ("Ethernet, IPv6", 1, ethernet(0x86dd, &v6)),
        ("Ethernet, padded", 1, join(&[&ethernet(0x0800, &v4), b"padding"])),
        (
            "802.3, SNAP, padded",
            1,
            join(&[&ieee8023(&join(&[&SNAP, &v4])), b"padding"]),
        ),
        ("802.3, LLC of IP", 1, ieee8023(&join(&[&[6, 6, 3], &v4]))),
        ("VLAN", 1, ethernet(0x8100, &join(&[&[0xa0, 42, 0x08, 0], &v4]))),
        (
            "VLAN in VLAN",
            1,
            ethernet(0x88a8, &join(&[&[0, 7, 0x81, 0, 0, 8, 0x86, 0xdd], &v6])),
        ),
        (
            "VLAN, SNAP, padded",
            1,
            ethernet(0x8100, &join(&[&[0, 9, 0, 70], &SNAP, &v4, b"padding"])),
        ),
        (
            "PPPoE",
            1,
            ethernet(0x8864, &join(&[&[0x11, 0, 0, 9, 0, 64, 0, 0x21], &v4])),
        ),
        (
            "MPLS",
            1,
            ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], &v4])),
        ),
        (
            "MPLS, pseudowire",
            1,
            ethernet(
                0x8847,
                &join(&[&[0, 1, 1, 64, 0, 0, 0, 0], &ethernet(0x0800, &v4)]),
            ),
        ),
        ("NULL, little-endian", 0, join(&[&[2, 0, 0, 0], &v4])),
        ("NULL, big-endian", 0, join(&[&[0, 0, 0, 2], &v4])),
        ("NULL, IPv6 of macOS", 0, join(&[&[30, 0, 0, 0], &v6])),
        ("LOOP", 108, join(&[&[0, 0, 0, 24], &v6])),
        ("RAW 12", 12, v4.clone()),
        ("RAW 14", 14, v6.clone()),
        ("RAW 101", 101, v4.clone()),
        ("IPV4", 228, v4.clone()),
        ("IPV6", 229, v6.clone()),
        ("PPP", 9, join(&[&[0xff, 3, 0, 0x21], &v4])),
        ("PPP, short protocol", 9, join(&[&[0x21], &v4])),
        ("PPP, IPv6", 9, join(&[&[0, 0x57], &v6])),
        ("PPP in HDLC", 50, join(&[&[0xff, 3, 0, 0x21], &v4])),
        ("Cisco HDLC", 104, join(&[&[0x0f, 0, 0x08, 0], &v4])),
        (
            "Linux cooked",
            113,
            join(&[&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x08, 0], &v4]),
        ),
        (
            "Linux cooked 2",
            276,
            join(&[
                &[0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0],
                &v6,
            ]),
        ),
        (
            "Linux cooked, VLAN",
            113,
            join(&[&[0; 3], &[1, 0, 6], &[0; 8], &[0x81, 0, 0, 5, 0x08, 0], &v4]),
        ),
        ("802.11", 105, join(&[&wifi, &SNAP, &v4])),
        ("802.11, QoS", 105, join(&[&wifi_qos, &SNAP, &v4])),
        ("802.11, radiotap", 127, join(&[&radiotap, &wifi, &SNAP, &v4])),
        ("802.11, padded", 127, join(&[&padded, &SNAP, &v4])),
        ("802.11, padded, more fields", 127, join(&[&padded_2, &SNAP, &v4])),
    ];
    for (what, link_type, bytes) in cases {
        assert_eq!(
            read(*link_type, bytes).map(|(payload, _)| payload),
            Ok(TEXT.to_vec()),
            "{what}"
        );
    }
}

#[test]
fn every_tunnel() {
    let (v4, v6) = (ipv4(), ipv6());
    let frame = ethernet(0x0800, &v4);
    let cases: &[(&str, Vec<u8>)] = &[
        ("IP in IP", ip_with(4, &v4)),
        ("6in4", ip_with(41, &v6)),
        ("GRE", ip_with(47, &join(&[&[0, 0, 0x08, 0], &v4]))),
        (
            "GRE with checksum, key, sequence",
            ip_with(47, &join(&[&[0xb0, 0, 0x86, 0xdd], &[9; 12], &v6])),
        ),
        (
            "GRE, Ethernet",
            ip_with(47, &join(&[&[0, 0, 0x65, 0x58], &frame])),
        ),
        (
            "PPTP",
            ip_with(
                47,
                &join(&[
                    &[0x30, 1, 0x88, 0x0b, 0, 64, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21],
                    &v4,
                ]),
            ),
        ),
        (
            "ERSPAN II",
            ip_with(47, &join(&[&[0x10, 0, 0x88, 0xbe], &[0; 4], &[0x10; 8], &frame])),
        ),
        (
            "VXLAN",
            udp(50_000, 4789, &join(&[&[8, 0, 0, 0, 0, 0, 77, 0], &frame])),
        ),
        (
            "GENEVE with an option",
            udp(
                50_000,
                6081,
                &join(&[&[1, 0, 0x65, 0x58, 0, 0, 77, 0], &[0; 4], &frame]),
            ),
        ),
        (
            "GTP-U",
            udp(2152, 2152, &join(&[&[0x30, 0xff, 0, 62, 0, 0, 0, 9], &v4])),
        ),
        ("Teredo", udp(3544, 50_000, &v6)),
        ("Teredo with an origin", udp(50_000, 3544, &join(&[&[0; 8], &v6]))),
        (
            "authentication header",
            ip_with(51, &join(&[&[6, 4, 0, 0], &[0; 20], &v4[20..]])),
        ),
    ];
    for (what, ip) in cases {
        let read = read(1, &ethernet(0x0800, ip));
        assert_eq!(read.map(|(payload, _)| payload), Ok(TEXT.to_vec()), "{what}");
    }
}

#[test]
fn extension_headers_of_ipv6_stand_between() {
    let v6 = ipv6();
    let (header, rest) = v6.split_at(40);
    let mut header = header.to_vec();
    header[5] += 16;
    header[6] = 0;
    // Hop-by-hop, then destination options, then TCP.
    let packet = join(&[
        &header,
        &[60, 0, 1, 4, 0, 0, 0, 0],
        &[6, 0, 1, 4, 0, 0, 0, 0],
        rest,
    ]);
    assert_eq!(read(229, &packet).map(|(payload, _)| payload), Ok(TEXT.to_vec()));
}

#[test]
fn what_cannot_be_read_has_its_reason() {
    let v4 = ipv4();
    let with = |at: usize, byte: u8| {
        let mut v4 = v4.clone();
        v4[at] = byte;
        v4
    };
    let encrypted = join(&[&[0x08, 0x41, 0, 0], &[1; 22], &[0; 20]]);
    let cases: &[(&str, u32, Vec<u8>, Unread)] = &[
        ("ARP", 1, ethernet(0x0806, &[0; 28]), Unread::NotIp),
        (
            "spanning tree",
            1,
            ieee8023(&[0x42, 0x42, 3, 0, 0]),
            Unread::NotIp,
        ),
        ("UDP", 101, udp(53, 53, b"?"), Unread::NotTcp),
        ("ESP", 101, ip_with(50, &[1; 40]), Unread::Esp),
        ("encrypted 802.11", 105, encrypted, Unread::EncryptedLink),
        ("compressed PPP", 9, vec![0, 0x2d, 1, 2, 3], Unread::Compressed),
        ("an unknown link", 147, v4.clone(), Unread::LinkType(147)),
        ("IP version 7", 228, with(0, 0x75), Unread::BadIp),
        ("an IP header of 8 bytes", 228, with(0, 0x42), Unread::BadIp),
        ("a TCP header of 16 bytes", 228, with(32, 0x40), Unread::BadTcp),
        (
            "a TCP header beyond the packet",
            228,
            with(32, 0xf0),
            Unread::BadTcp,
        ),
        ("a frame of 10 bytes", 1, vec![0; 10], Unread::CutLink),
        (
            "a tunnel in a tunnel in …",
            101,
            (0..20).fold(v4.clone(), |inner, _| ip_with(4, &inner)),
            Unread::TooDeep,
        ),
    ];
    for (what, link_type, bytes, reason) in cases {
        assert_eq!(read(*link_type, bytes), Err(vec![*reason]), "{what}");
    }
    for kept in 0..40 {
        let mut cut = packet(228, &v4[..kept]);
        cut.wire_len = 62;
        let mut decoder = Decoder::new(DecodeOptions::default());
        assert!(decoder.decode(&cut).is_none());
        let reason = if kept < 20 { Unread::CutIp } else { Unread::CutTcp };
        assert_eq!(
            decoder.unread().iter().collect::<Vec<_>>(),
            [(reason, 1)],
            "{kept} bytes kept"
        );
    }
}

#[test]
fn lengths_that_lie_take_no_byte_of_anything_else() {
    let length = |says: u16| {
        let mut decoder = Decoder::new(DecodeOptions::default());
        let ip = tcp().ip(Some(says));
        let segment = decoder.decode(&packet(101, &ip)).expect("a segment");
        (segment.payload.len(), segment.payload_wire_len as usize)
    };
    let all = TEXT.len();
    assert_eq!(length(62), (all, all), "the truth");
    assert_eq!(length(0), (all, all), "segmentation offload");
    assert_eq!(length(60_000), (all, all), "more than there is");
    assert_eq!(length(50), (10, 10), "less: the rest is padding");
    assert_eq!(length(19), (all, all), "less than a header says nothing");
    // The snaplen cut ten bytes: they are missing, not absent.
    let ip = ipv4();
    let mut cut = packet(101, &ip[..52]);
    cut.wire_len = 62;
    let mut decoder = Decoder::new(DecodeOptions::default());
    let segment = decoder.decode(&cut).expect("a segment");
    assert_eq!(
        (segment.payload.len(), segment.payload_wire_len as usize),
        (all - 10, all)
    );
    // Nobody puts so many segments together.
    let offloaded = tcp().ip(Some(0));
    let mut claims = packet(101, &offloaded);
    claims.wire_len = 512 << 10;
    assert!(decoder.decode(&claims).is_some());
    claims.wire_len = 20 << 20;
    assert!(decoder.decode(&claims).is_none());
    assert!(decoder.unread().iter().eq([(Unread::BadIp, 1)]));
}

#[test]
fn vlans_and_tunnels_make_scopes_unless_told_not_to() {
    let vlan = |id: u8| ethernet(0x8100, &join(&[&[0xa0, id, 0x08, 0], &ipv4()]));
    let scope = |bytes: &[u8]| read(1, bytes).expect("a segment").1;
    let plain = scope(&ethernet(0x0800, &ipv4()));
    assert_eq!(plain, Scope(0));
    assert_eq!(scope(&vlan(0)), plain, "a priority tag is no VLAN");
    assert_eq!(scope(&vlan(7)), scope(&vlan(7)));
    assert_ne!(scope(&vlan(7)), scope(&vlan(8)));
    assert_ne!(scope(&vlan(7)), plain);
    let vxlan = |id: u8| {
        let inner = join(&[&[8, 0, 0, 0, 0, 0, id, 0], &ethernet(0x0800, &ipv4())]);
        ethernet(0x0800, &udp(50_000, 4789, &inner))
    };
    assert_ne!(scope(&vxlan(1)), scope(&vxlan(2)));
    let mut decoder = Decoder::new(DecodeOptions {
        ignore_vlan: true,
        ..DecodeOptions::default()
    });
    for frame in [vlan(7), vlan(8), vxlan(1)] {
        assert_eq!(
            decoder.decode(&packet(1, &frame)).expect("a segment").scope,
            Scope(0)
        );
    }
}

#[test]
fn fragments_come_together_in_any_order_and_the_first_copy_of_a_byte_wins() {
    for tcp in [tcp(), tcp6()] {
        let mut fragments = tcp.fragments(16);
        assert!(fragments.len() > 2);
        // The second one comes again with other content, before the datagram is complete.
        let mut forged = fragments[1].clone();
        let end = forged.len();
        forged[end - 8..].fill(b'X');
        fragments.insert(2, forged);
        fragments.rotate_left(1);
        let mut spine = Spine::default();
        for fragment in &fragments {
            spine.packet(&Frame::new(tcp.time, tcp.ethernet(fragment)).packet());
        }
        let replay = spine.finish();
        assert_eq!(replay.only().to_server().bytes(), TEXT);
        assert_eq!(
            replay.unread,
            [(
                "IP fragments with other content where some had come".to_owned(),
                1
            )]
        );
        // Without its last fragment it is none, and they are counted.
        let mut spine = Spine::default();
        for fragment in &tcp.fragments(16)[..2] {
            spine.packet(&Frame::new(tcp.time, tcp.ethernet(fragment)).packet());
        }
        let replay = spine.finish();
        assert_eq!(
            replay.unread,
            [("IP fragments of incomplete datagrams".to_owned(), 2)]
        );
    }
}

#[test]
fn what_stands_behind_a_fragment_header_belongs_to_the_whole() {
    let options = [6, 0, 1, 4, 0, 0, 0, 0];
    let mut authentication = [0; 24];
    authentication[..2].copy_from_slice(&[6, 4]);
    for (next, extension) in [(60, &options[..]), (51, &authentication)] {
        let whole = join(&[extension, &tcp6().bytes()]);
        let last = whole.chunks(16).count() - 1;
        let mut spine = Spine::default();
        for (index, piece) in whole.chunks(16).enumerate() {
            let len = u16::try_from(8 + piece.len()).expect("a small piece");
            let place = u16::try_from(index * 16).expect("a small datagram") | u16::from(index < last);
            let ip = join(&[
                &[0x60, 0, 0, 0],
                &len.to_be_bytes(),
                &[44, 64],
                &ipv6()[8..40],
                &[next, 0],
                &place.to_be_bytes(),
                &[0, 0, 0, 7],
                piece,
            ]);
            spine.packet(&Frame::new(tcp6().time, tcp6().ethernet(&ip)).packet());
        }
        let replay = spine.finish();
        assert_eq!(replay.unread, [], "extension {next}");
        assert_eq!(replay.only().to_server().bytes(), TEXT);
    }
}
