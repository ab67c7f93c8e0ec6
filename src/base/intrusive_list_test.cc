#include "base/intrusive_list.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace olio {
namespace {

struct Element {
    virtual ~Element() = default;  // so that the hooks are not at the start
    char name = '?';
    ListHook first;
    ListHook second;
    explicit Element(char given) : name(given) {}
};
using List = IntrusiveList<Element, &Element::first>;
using OtherList = IntrusiveList<Element, &Element::second>;

template <class Each>
std::string names(Each& list) {
    std::string text;
    for (Element& element : list)
        text += element.name;
    return text;
}

class IntrusiveListTest : public ::testing::Test {
  protected:
    Element a{'a'}, b{'b'}, c{'c'}, d{'d'};
    List list;
    OtherList other;
};

TEST_F(IntrusiveListTest, KeepsTheOrderOfItsEnds) {
    EXPECT_TRUE(list.empty());
    list.push_back(b);
    list.push_back(c);
    list.push_front(a);
    EXPECT_EQ(names(list), "abc");
    EXPECT_EQ(&list.front(), &a);
    EXPECT_EQ(&list.back(), &c);
    EXPECT_EQ(list.next(a), &b);
    EXPECT_EQ(list.next(c), nullptr);
}

TEST_F(IntrusiveListTest, RemovesAnywhereAndPopsFromTheFront) {
    for (Element* element : {&a, &b, &c, &d})
        list.push_back(*element);
    list.remove(b);
    EXPECT_FALSE(b.first.linked());
    d.first.unlink();
    d.first.unlink();
    EXPECT_EQ(names(list), "ac");
    EXPECT_EQ(list.pop_front(), &a);
    EXPECT_EQ(list.pop_front(), &c);
    EXPECT_EQ(list.pop_front(), nullptr);
    EXPECT_TRUE(list.empty());
    list.push_back(b);
    EXPECT_EQ(names(list), "b");
}

TEST_F(IntrusiveListTest, OneElementMayBeInOneListPerHook) {
    list.push_back(a);
    list.push_back(b);
    other.push_back(b);
    other.push_back(a);
    EXPECT_EQ(names(list), "ab");
    EXPECT_EQ(names(other), "ba");
    list.clear();
    EXPECT_TRUE(list.empty());
    EXPECT_EQ(names(other), "ba");
}

TEST_F(IntrusiveListTest, SplicesAllOfAnotherListToItsEnd) {
    List more;
    list.push_back(a);
    more.push_back(b);
    more.push_back(c);
    list.splice_back(more);
    EXPECT_EQ(names(list), "abc");
    EXPECT_TRUE(more.empty());
    list.splice_back(more);
    list.splice_back(list);
    EXPECT_EQ(names(list), "abc");
    more.push_back(d);
    EXPECT_EQ(names(more), "d");
    more.splice_back(list);
    EXPECT_EQ(names(more), "dabc");
    EXPECT_TRUE(list.empty());
    EXPECT_EQ(&more.back(), &c);
}

TEST_F(IntrusiveListTest, ADestroyedListLeavesItsElementsFree) {
    {
        List brief;
        brief.push_back(a);
    }
    EXPECT_FALSE(a.first.linked());
    list.push_back(a);
}

TEST(IntrusiveListDeathTest, AnElementInTwoListsOfOneHookIsFound) {
    Element element('x');
    List one;
    List two;
    one.push_back(element);
    EXPECT_DEATH(two.push_back(element), "second list");
}

TEST(IntrusiveListDeathTest, AnElementThatIsDestroyedInAListIsFound) {
    EXPECT_DEATH(
        {
            List list;
            const auto element = std::make_unique<Element>('x');
            list.push_back(*element);
        },
        "while it is in a list");
}

}  // namespace
}  // namespace olio
