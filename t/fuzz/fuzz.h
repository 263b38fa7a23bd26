/* Copyright the mod_proxy_core authors. SPDX-License-Identifier: Apache-2.0 */
/**
 * @file  fuzz.h
 * @brief For fuzz targets: the comparison that finds what depends on how the input was cut, and a main() that replays
 *        files without libFuzzer (compile with -DPC_FUZZ_MAIN).
 *
 * A target defines transcribe(): the input's first byte says how, the rest is what the backend sent.
 */
#ifndef PC_FUZZ_H
#define PC_FUZZ_H

#include "../unit/transcript.h"

#include <stdint.h>

static void transcribe(transcript *t, int how, const char *bytes, size_t len, cutting cut);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    cutting middle = { 0, 0 }, three = { 0, 3 };
    const cutting *cuts[] = { &CUT_BYTES, &middle, &three };
    transcript whole, t;
    size_t i;

    if (size == 0) {
        return 0;
    }
    input++;
    size--;
    middle.at = size / 2;
    transcribe(&whole, input[-1], (const char *)input, size, CUT_WHOLE);
    for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        transcribe(&t, input[-1], (const char *)input, size, *cuts[i]);
        if (!tr_same(&whole, &t)) {
            fprintf(stderr, "whole:\n%s\ncut %d:\n%s\n", whole.p ? whole.p : "", (int)i, t.p ? t.p : "");
            abort();
        }
        tr_free(&t);
    }
    tr_free(&whole);
    return 0;
}

#ifdef PC_FUZZ_MAIN
int main(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        transcript in;
        char part[4096];
        size_t n;
        FILE *f = fopen(argv[i], "rb");

        if (!f) {
            perror(argv[i]);
            return 1;
        }
        memset(&in, 0, sizeof(in));
        while ((n = fread(part, 1, sizeof(part), f)) > 0) {
            tr_add(&in, part, n);
        }
        fclose(f);
        LLVMFuzzerTestOneInput((const uint8_t *)in.p, in.len);
        if (argc == 2 && in.len) {
            transcript t;

            transcribe(&t, (unsigned char)in.p[0], in.p + 1, in.len - 1, CUT_WHOLE);
            printf("%s\n", t.p ? t.p : "");
            tr_free(&t);
        }
        tr_free(&in);
    }
    return 0;
}
#endif

#endif /* PC_FUZZ_H */
