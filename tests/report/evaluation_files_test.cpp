// An evaluation as files. tests/e2e/answers_test.py reads what the program writes with other programs' eyes.
#include "resnet/evaluation_files.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "report/svg.h"

namespace resnet {
namespace {

const std::vector<std::string> kNames = {"cat", "dog, \"small\"", "a<b>&c"};

Metrics three_answers() {
  return metrics_of(
      std::vector<Answer>{{0, 0, 0, 0.75F, 0.75F}, {1, 2, 1, 0.5F, 0.25F}, {1, 1, 0, 1.0F, 1.0F}}, 3);
}

TEST(EvaluationFiles, ConfusionAsCsvQuotesNames) {
  EXPECT_EQ(confusion_csv(three_answers(), kNames),
            "true\\answer,cat,\"dog, \"\"small\"\"\",a<b>&c\n"
            "cat,1,0,0\n"
            "\"dog, \"\"small\"\"\",0,1,1\n"
            "a<b>&c,0,0,0\n");
}

TEST(EvaluationFiles, RefuseAMatrixThatIsNotThere) {
  const Metrics none = metrics_of(std::vector<Answer>{{0, 0, 0, 1, 1}}, 3, false);
  EXPECT_THROW(confusion_csv(none, kNames), ConfigError);
  EXPECT_THROW(confusion_svg(none, kNames, ""), ConfigError);
  EXPECT_THROW(confusion_csv(three_answers(), std::vector<std::string>(4, "x")), ConfigError);
}

TEST(EvaluationFiles, PredictionsAsCsvHaveALineForEachExample) {
  const std::vector<Answer> answers = {{0, 0, 0, 0.75F, 0.75F}, {1, 7, 1, 0.5F, 0.25F}, {-1, 0, 1, 0.5F, 0}};
  EXPECT_EQ(predictions_csv(answers, kNames),
            "example,label,answer,probability,label_probability\n"
            "0,cat,cat,0.75,0.75\n"
            "1,\"dog, \"\"small\"\"\",7,0.5,0.25\n"
            "2,-1,cat,0.5,0\n")
      << "an output without a name has its number";
}

TEST(EvaluationFiles, PredictionsAsCsvNameTheFilesWhereThereAreSome) {
  EXPECT_EQ(predictions_csv(std::vector<Answer>{{0, 0, 0, 0.75F, 0.75F}}, kNames,
                            std::vector<std::string>{"cat/1,2.png"}),
            "example,label,answer,probability,label_probability,file\n"
            "0,cat,cat,0.75,0.75,\"cat/1,2.png\"\n");
}

TEST(EvaluationFiles, ConfusionAsPictureDrawsOnlyWhatThereIs) {
  const std::string svg = confusion_svg(three_answers(), kNames, "runs/a<1> on \x1b[31mphotos");
  std::size_t cells = 0;
  for (std::size_t at = svg.find("taken for"); at != svg.npos; at = svg.find("taken for", at + 1)) ++cells;
  EXPECT_EQ(cells, 3U);
  EXPECT_NE(svg.find("dog, &quot;small&quot; taken for a&lt;b&gt;&amp;c: 1 of 2"), svg.npos) << svg;
  EXPECT_NE(svg.find("runs/a&lt;1&gt; on \\x1b[31mphotos"), svg.npos) << "commands to a terminal stay text";
}

TEST(EvaluationFiles, ConfusionOfAThousandClassesStaysSmall) {
  std::vector<Answer> answers;
  std::vector<std::string> names;
  for (std::int32_t k = 0; k < 1000; ++k) {
    answers.push_back({k, k, 0, 1, 1});
    names.push_back("class " + std::to_string(k));
  }
  EXPECT_LT(confusion_svg(metrics_of(answers, 1000), names, "").size(), 300'000U);
}

TEST(Base64, IsThatOfRfc4648) {
  const auto of = [](std::string_view text) {
    return base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  };
  EXPECT_EQ(of(""), "");
  EXPECT_EQ(of("f"), "Zg==");
  EXPECT_EQ(of("fo"), "Zm8=");
  EXPECT_EQ(of("foo"), "Zm9v");
  EXPECT_EQ(of("foobar"), "Zm9vYmFy");
  EXPECT_EQ(of("\xff\xfe\xfd"), "//79");
}

TEST(CsvField, IsQuotedWhereItMustBe) {
  EXPECT_EQ(csv_field("plain text"), "plain text");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("a\nb"), "\"a\nb\"");
  EXPECT_EQ(csv_field("say \"a\""), "\"say \"\"a\"\"\"");
}

}  // namespace
}  // namespace resnet
