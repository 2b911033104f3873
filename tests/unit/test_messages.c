/* The table of texts: complete in both languages, valid UTF-8, the same placeholders in each. */
#include <string.h>

#include "../support/check_main.h"
#include "runbook/base/text.h"
#include "runbook/render/messages.h"

static unsigned placeholders(const char *text)
{
    unsigned set = 0;
    for (; *text; text++) {
        if (text[0] == '%' && text[1] >= '1' && text[1] <= '9')
            set |= 1u << (text[1] - '0');
    }
    return set;
}

START_TEST(test_languages_agree)
{
    for (int id = 0; id < RB_MSG_COUNT; id++) {
        const char *en = rb_message(RB_LANGUAGE_EN, (enum rb_message)id);
        const char *de = rb_message(RB_LANGUAGE_DE, (enum rb_message)id);
        ck_assert_msg(en && en[0] && de && de[0], "%d", id);
        ck_assert(rb_text_is_plain(en, strlen(en)));
        ck_assert(rb_text_is_plain(de, strlen(de)));
        ck_assert_msg(placeholders(en) == placeholders(de), "%s / %s", en, de);
    }
}
END_TEST

START_TEST(test_unknown_language_is_english)
{
    ck_assert_str_eq(rb_message(RB_LANGUAGE_COUNT, RB_MSG_VERDICT), "VERDICT");
    ck_assert_str_eq(rb_message(RB_LANGUAGE_DE, RB_MSG_VERDICT), "BEFUND");
}
END_TEST

RB_TEST_MAIN("messages", test_languages_agree, test_unknown_language_is_english)
