"""Bytes and what they mean: pure functions over packets, which know no card, driver or port.

    bytes --> headers.pxd      one bounded walk over the headers of a frame, or of what an ICMP error quotes
              checksum.pxd     Internet checksums: sums over pieces, pseudo headers, incremental updates
              toeplitz.pxd     the RSS hash by table
              siphash.pxd      the keyed hash of tables
              segmentation     offloads in software: TCP segmentation, transport checksums over scattered frames
    bytes <-- build            valid packets and ICMP errors from keywords

The `.pxd` files are for compiled code and work without the GIL: pointers and lengths in, a count or a reason out. `parse`, `checksum`,
`toeplitz` and `segmentation` offer the same to Python, for tests and for what happens seldom. Not here: reassembly, receive coalescing.
Start with `Parsed` in headers.pxd.
"""
