-- Every one of zhparser's 26 token types is mapped: words of an unmapped type vanish silently from documents and queries.
CREATE TEXT SEARCH CONFIGURATION immich_indexer.zhparser (PARSER = zhparser);
ALTER TEXT SEARCH CONFIGURATION immich_indexer.zhparser
    ADD MAPPING FOR a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z WITH simple;
