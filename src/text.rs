//! What may be shown of text and bytes from elsewhere, for all who quote them.

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a character can neither harm a terminal nor mislead its reader.
pub fn is_harmless(character: char) -> bool {
    match character {
        '\t' => true,
        // C0, delete, C1 (which holds CSI as one character).
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => false,
        // Soft hyphen, Arabic letter mark, Hangul and Mongolian fillers: invisible.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' => false,
        // Zero width, bidi marks, line and paragraph separators, bidi embeddings, invisible operators, isolates.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => false,
        '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' => false,
        // Musical controls, tags, variation selectors.
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => false,
        _ => true,
    }
}
