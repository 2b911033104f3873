/* The arena: a list of blocks, newest first.
 *
 * Invariants: `used` is the sum of all sizes handed out (after alignment), never above `max`; `failed` never clears.
 * Blocks double up to 64 KiB, so a plan of a few hundred kilobytes costs a dozen mallocs; a piece larger than half a
 * block gets its own block behind the current one, so the current block's rest is not thrown away.
 * Memory is zeroed by calloc: builders rely on absent fields being NULL and 0. */
#include "runbook/base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runbook/base/wipe.h"

#define ARENA_FIRST_BLOCK   ((size_t)1024)
#define ARENA_LARGEST_BLOCK ((size_t)64 * 1024)

struct block {
    struct block *next;
    size_t size;
    size_t fill;
    alignas(max_align_t) unsigned char bytes[];
};

struct rb_arena {
    struct block *blocks; /* the head is the one being filled */
    size_t max;
    size_t used;
    size_t next_block;
    bool failed;
    bool wiped; /* overwrite before free */
};

struct rb_arena *rb_arena_new(size_t max)
{
    struct rb_arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        return NULL;
    arena->max = max;
    arena->next_block = ARENA_FIRST_BLOCK;
    return arena;
}

struct rb_arena *rb_arena_new_wiped(size_t max)
{
    struct rb_arena *arena = rb_arena_new(max);
    if (arena)
        arena->wiped = true;
    return arena;
}

void rb_arena_free(struct rb_arena *arena)
{
    if (!arena)
        return;
    struct block *block = arena->blocks;
    while (block) {
        struct block *next = block->next;
        if (arena->wiped)
            rb_wipe(block->bytes, block->fill);
        free(block);
        block = next;
    }
    free(arena);
}

bool rb_arena_failed(const struct rb_arena *arena)
{
    return arena->failed;
}

size_t rb_arena_used(const struct rb_arena *arena)
{
    return arena->used;
}

static struct block *block_new(size_t size)
{
    struct block *block = calloc(1, sizeof *block + size);
    if (block)
        block->size = size;
    return block;
}

/* A block with room for `size` bytes, linked into the arena; NULL when memory is out. */
static struct block *block_for(struct rb_arena *arena, size_t size)
{
    struct block *head = arena->blocks;
    if (head && head->size - head->fill >= size)
        return head;
    bool own = head && size > arena->next_block / 2;
    struct block *block = block_new(own || size > arena->next_block ? size : arena->next_block);
    if (!block)
        return NULL;
    if (own) {
        block->next = head->next;
        head->next = block;
        return block;
    }
    block->next = head;
    arena->blocks = block;
    if (arena->next_block < ARENA_LARGEST_BLOCK)
        arena->next_block *= 2;
    return block;
}

void *rb_arena_alloc(struct rb_arena *arena, size_t size)
{
    if (arena->failed)
        return NULL;
    const size_t align = alignof(max_align_t);
    struct block *block = NULL;
    if (size <= SIZE_MAX / 2) {
        size = size ? (size + align - 1) / align * align : align;
        if (size <= arena->max - arena->used)
            block = block_for(arena, size);
    }
    if (!block) {
        arena->failed = true;
        return NULL;
    }
    void *piece = block->bytes + block->fill;
    block->fill += size;
    arena->used += size;
    return piece;
}

void *rb_arena_array(struct rb_arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        arena->failed = true;
        return NULL;
    }
    return rb_arena_alloc(arena, count * size);
}

char *rb_arena_strndup(struct rb_arena *arena, const char *text, size_t len)
{
    if (!text)
        return NULL;
    if (len == SIZE_MAX) {
        arena->failed = true;
        return NULL;
    }
    char *copy = rb_arena_alloc(arena, len + 1);
    if (copy && len)
        memcpy(copy, text, len);
    return copy;
}

char *rb_arena_strdup(struct rb_arena *arena, const char *text)
{
    return text ? rb_arena_strndup(arena, text, strlen(text)) : NULL;
}

char *rb_arena_vprintf(struct rb_arena *arena, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (len < 0) {
        arena->failed = true;
        return NULL;
    }
    char *text = rb_arena_alloc(arena, (size_t)len + 1);
    if (text)
        (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    return text;
}

char *rb_arena_printf(struct rb_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = rb_arena_vprintf(arena, fmt, args);
    va_end(args);
    return text;
}
